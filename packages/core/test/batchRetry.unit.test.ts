/** What the validator does with what keeps failing: who waits, who goes on, and what becomes a dead letter. */
import { assert, describe, it } from "@effect/vitest"
import { DeadLetter, InvoiceStore, TopicReader, ValidateInvoices } from "@invoice/core"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  about,
  deadLetters,
  fails,
  message,
  noFaults,
  pending,
  publish,
  ready,
  running,
  store,
  topic,
  until,
  world
} from "./ValidatorWorld.ts"

describe("a message whose handling fails alone", () => {
  it.live(
    "becomes a dead letter after a bounded number of tries, with everything about it, and the others go on",
    () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const invoices = yield* store(20)
        const poison = invoices[7]?.id
        let tries = 0
        faults.decide = (decisions) => {
          if (!decisions.some(({ id }) => id === poison)) return undefined
          if (decisions.length === 1) tries++
          return fails("retryable")
        }
        yield* publish(invoices.map((invoice) => about(invoice)))
        yield* running
        yield* until(Effect.map(deadLetters, (all) => all.length === 1))
        assert.deepStrictEqual(yield* pending, [poison])
        const [deadLetter] = yield* deadLetters
        assert.strictEqual(tries, 4)
        assert.strictEqual(deadLetter?.attempts, 4)
        assert.strictEqual(deadLetter?.kind, "TriedTooOften")
        assert.include(deadLetter?.reason ?? "", "no space left on device")
        assert.deepStrictEqual(deadLetter?.from, { topic, partition: 0, offset: "7" })
        assert.isDefined(deadLetter?.at)
        assert.deepStrictEqual(deadLetter?.original, about({ id: String(poison) }))
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 4 })))
    }
  )

  it.live("becomes one at once when the store refuses it for good, or dies of it", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(20)
      const [refused, deadly] = [invoices[3]?.id, invoices[11]?.id]
      faults.decide = (decisions) => {
        if (decisions.some(({ id }) => id === deadly)) throw new Error("a row that can't be read")
        return decisions.some(({ id }) => id === refused) ? fails("permanent") : undefined
      }
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(deadLetters, (all) => all.length === 2))
      assert.deepStrictEqual(new Set(yield* pending), new Set([refused, deadly]))
      for (const { attempts, kind } of yield* deadLetters) assert.deepStrictEqual([kind, attempts], ["Refused", 1])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  for (const partitions of [1, 6]) {
    it.live(`becomes one though nothing else is there to be written, with ${partitions} partitions`, () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const [poison, ...others] = yield* store(40)
        faults.decide = (decisions) => (decisions.some(({ id }) => id === poison?.id) ? fails("permanent") : undefined)
        yield* running
        yield* publish([about({ id: String(poison?.id) })])
        yield* until(Effect.map(deadLetters, (all) => all.length === 1))
        yield* publish(others.map((invoice) => about(invoice)))
        yield* until(Effect.map(pending, (ids) => ids.length === 1))
        assert.strictEqual((yield* deadLetters).length, 1)
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions })))
    })
  }

  it.live("becomes one only when the store takes writes before and after each of the tries that count", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const [poison] = yield* store(1)
      let provedAt = 0
      faults.decide = () => fails("retryable")
      faults.writable = () => {
        if (faults.probes % 4 === 1) return fails("unavailable")
        provedAt = faults.calls
        return undefined
      }
      yield* publish([about({ id: String(poison?.id) })])
      yield* running
      yield* until(Effect.map(deadLetters, (all) => all.length === 1))
      const [deadLetter] = yield* deadLetters
      assert.strictEqual(deadLetter?.attempts, 3)
      // the proof is not older than the last try
      assert.strictEqual(provedAt, faults.calls)
      // four of the batch, and alone two that count, two around the probe that failed, and one that counts
      assert.isAtLeast(faults.calls, 4 + 2 + 2 + 1)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("holds up what comes behind it with its key, until it is settled, and nothing else", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const [poison, behind, other] = yield* store(3)
      const tried: Array<string | undefined> = []
      let lettersThen = -1
      const reader = yield* TopicReader
      faults.decide = (decisions) => {
        if (decisions.length === 1) tried.push(decisions[0]?.id)
        return decisions.some(({ id }) => id === poison?.id) ? fails("retryable") : undefined
      }
      yield* publish([
        about({ id: String(poison?.id) }, "a"),
        about({ id: String(behind?.id) }, "a"),
        about({ id: String(other?.id) }, "b")
      ])
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 1))
      lettersThen = (yield* Stream.runCollect(reader.read(DeadLetter.topicOf(topic)))).length
      assert.deepStrictEqual(tried, [poison?.id, other?.id, poison?.id, poison?.id, behind?.id])
      assert.strictEqual(lettersThen, 1)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("is handled with its neighbours again when the store was only away", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(10)
      // three tries of the batch that may be its own fault, and one of a message
      faults.decide = () => (faults.calls <= 4 ? fails("retryable") : undefined)
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* deadLetters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 2 })))
  })

  it.live("is none while the store that does not know its invoice takes no writes", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const inner = yield* InvoiceStore
      const [late] = yield* store(1)
      let reads = 0
      // a standby that is a little behind, and then is promoted
      const standby = InvoiceStore.of({
        ...inner,
        getMany: (ids) => (++reads < 10 ? Effect.succeed([]) : inner.getMany(ids)),
        writable: Effect.suspend(() => (reads < 9 ? Effect.fail(fails("unavailable")) : Effect.void))
      })
      yield* publish([about({ id: String(late?.id) })])
      yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer({ retryMillis: 5 })),
          Effect.provideService(InvoiceStore, standby)
        )
      )
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* deadLetters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })
})

describe("an invoice that is gone when its verdict is to be written", () => {
  it.live("makes its message a dead letter, and is not passed over", () =>
    Effect.gen(function* () {
      const inner = yield* InvoiceStore
      const [invoice] = yield* store(1)
      const forgetful = InvoiceStore.of({
        ...inner,
        decide: (decisions) => Effect.succeed(decisions.map(({ id }) => ({ id, outcome: "NotFound" as const })))
      })
      yield* Effect.flatMap(ValidateInvoices, ({ handle }) => handle([about({ id: String(invoice?.id) })])).pipe(
        Effect.provide(ValidateInvoices.layer()),
        Effect.provideService(InvoiceStore, forgetful)
      )
      assert.deepStrictEqual(
        (yield* deadLetters).map(({ kind }) => kind),
        ["UnknownInvoice"]
      )
    }).pipe(Effect.provide(world(noFaults())))
  )
})

describe("an outage", () => {
  for (const [what, kind, takesWrites] of [
    ["that refuses every write for good", "permanent", false],
    ["that fails every write", "retryable", false],
    ["of a store that doesn't answer", "unavailable", false],
    ["that calls itself one, of a store whose probes succeed", "unavailable", true]
  ] as const) {
    it.live(`${what} makes no dead letter, and everything is judged afterwards`, () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const invoices = yield* store(30)
        faults.decide = () => fails(kind)
        faults.writable = () => (takesWrites ? undefined : fails(kind))
        yield* publish(invoices.map((invoice) => about(invoice)))
        yield* running
        yield* until(Effect.sync(() => faults.calls > 300))
        assert.strictEqual((yield* pending).length, 30)
        assert.isTrue((yield* Effect.result(ready))._tag === "Failure")
        faults.decide = () => undefined
        faults.writable = () => undefined
        yield* until(Effect.map(pending, (ids) => ids.length === 0))
        assert.deepStrictEqual(yield* deadLetters, [])
        yield* until(Effect.map(Effect.result(ready), ({ _tag }) => _tag === "Success"))
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 3, maxTries: 3 })))
    })
  }

  // the clock stands still, so what waits for its next try never makes it
  it.effect("that refuses every write is met with one try of the batch and one probe, not one for each message", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(100)
      faults.decide = () => fails("permanent")
      faults.writable = () => fails("unavailable")
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
      assert.deepStrictEqual([faults.calls, faults.probes], [1, 1])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  it.effect("is met with one probe at a time, however many partitions wait, and with none on the good path", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const inner = yield* InvoiceStore
      const invoices = yield* store(60)
      let refuses = false
      let under = 0
      let most = 0
      const slow = InvoiceStore.of({
        ...inner,
        decide: (decisions) => (refuses ? Effect.fail(fails("permanent")) : inner.decide(decisions)),
        writable: Effect.gen(function* () {
          faults.probes++
          most = Math.max(most, ++under)
          yield* Effect.sleep("1 second")
          under--
          return yield* fails("unavailable")
        })
      })
      yield* publish(invoices.slice(0, 30).map((invoice) => about(invoice)))
      yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer({ retryMillis: 1_000 })),
          Effect.provideService(InvoiceStore, slow)
        )
      )
      yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
      assert.strictEqual((yield* pending).length, 30)
      assert.strictEqual(faults.probes, 0)
      refuses = true
      yield* Effect.forkScoped(publish(invoices.slice(30).map((invoice) => about(invoice))))
      for (let second = 0; second < 60; second++) {
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(most, 1)
      // it takes a second, and the next one waits
      assert.isBelow(faults.probes, 45)
      assert.isAbove(faults.probes, 10)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 20 })))
  })

  it.effect("that begins while messages are tried alone is met with one try and one probe", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(100)
      faults.decide = () => fails("permanent")
      faults.writable = () => (faults.calls > 1 ? fails("unavailable") : undefined)
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
      assert.deepStrictEqual([faults.calls, faults.probes], [2, 2])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  it.live("that calls itself one is blamed on no message, though probes succeed", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(10)
      const [poison, weak] = [invoices[2]?.id, invoices[5]?.id]
      const alone = new Set<string>()
      let poisoned = false
      let outages = 0
      faults.decide = (decisions) => {
        if (decisions.length === 1) alone.add(String(decisions[0]?.id))
        if (poisoned && decisions.some(({ id }) => id === poison)) return fails("permanent")
        return outages++ < 20 || (alone.size > 0 && decisions.some(({ id }) => id === weak) && outages < 60)
          ? fails("unavailable")
          : undefined
      }
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.sync(() => outages > 10))
      assert.strictEqual(alone.size, 0)
      poisoned = true
      yield* until(Effect.zipWith(pending, deadLetters, (ids, all) => ids.length === 1 && all.length > 0))
      assert.deepStrictEqual(
        (yield* deadLetters).map(({ key }) => key),
        [poison]
      )
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("that begins while a message is tried alone counts against nobody", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(10)
      const weak = invoices[9]?.id
      let away = false
      faults.decide = (decisions) => {
        if (decisions.length === 1 && decisions[0]?.id === weak) away = true
        return away || decisions.some(({ id }) => id === weak) ? fails("retryable") : undefined
      }
      faults.writable = () => (away ? fails("unavailable") : undefined)
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 1))
      const calls = faults.calls
      yield* until(Effect.sync(() => faults.calls > calls + 30))
      faults.decide = () => undefined
      faults.writable = () => undefined
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* deadLetters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("makes one dead letter of what can't be decoded, however often its batch is tried", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(3)
      faults.decide = () => (faults.calls < 20 ? fails("unavailable") : undefined)
      yield* publish([message("no json", "k"), ...invoices.map((invoice) => about(invoice))])
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      yield* until(Effect.map(deadLetters, (all) => all.length > 0))
      const reader = yield* TopicReader
      const written = yield* Stream.runCollect(reader.read(DeadLetter.topicOf(topic)))
      assert.deepStrictEqual(
        written.map(({ message }) => message.headers["dlq_kind"]),
        ["Undecodable"]
      )
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })
})
