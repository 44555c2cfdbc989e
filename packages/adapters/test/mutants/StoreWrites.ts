/** Stores that create or decide wrongly. */
import { type Invoice, StoreUnavailable, Timestamp, type Verdict } from "@invoice/core"
import type { Creation } from "@invoice/core/ports/InvoiceStore"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"
import { broken, type Ports } from "./Broken.ts"
import { law, mutant, type Store, shows } from "./BrokenStore.ts"
import type { Mutant } from "./Suite.ts"

const laterUnder = (times: number) => (at: Timestamp.Timestamp) =>
  Timestamp.fromMillis(Math.min(Date.parse(at) * times, Date.parse("9999-01-01T00:00:00Z")))

const standby = new StoreUnavailable({ kind: "unavailable", cause: new Error("a standby takes no writes") })

/** What a creation is answered with, wrongly. */
const created = (change: (creation: Creation, given: Invoice.Invoice) => Creation) => (store: Store) => ({
  create: (invoice: Invoice.Invoice) => Effect.map(store.create(invoice), (creation) => change(creation, invoice))
})

export const creations: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "counts versions from zero",
    shows((stored) => ({ ...stored, version: stored.version - 1 })),
    law.model
  ),
  mutant(
    "begins at version 2",
    created((creation) => ({ ...creation, stored: { ...creation.stored, version: 2 } })),
    law.fresh
  ),
  {
    fault: "tells nobody of a new invoice",
    make: () =>
      broken({
        outbox: (outbox) => ({
          read: (options) =>
            Effect.map(outbox.read(options), (page) => ({
              ...page,
              events: page.events.filter(({ version }) => version > 1)
            }))
        })
      }),
    fails: [law.fresh]
  },
  mutant(
    "says Created to who comes again",
    created((creation) => ({ ...creation, outcome: "Created" })),
    law.again
  ),
  mutant(
    "says Unchanged to everyone with a known id",
    (store) => ({
      create: (invoice) =>
        Effect.catchTag(store.create(invoice), "InvoiceConflict", () =>
          Effect.orDie(Effect.map(store.get(invoice.id), (stored) => ({ outcome: "Unchanged" as const, stored })))
        )
    }),
    law.conflict,
    law.createRace,
    law.least
  ),
  mutant(
    "knows an invoice only a while after it was stored",
    (store) => {
      const ids = new Set<string>()
      return {
        create: (invoice) =>
          Effect.gen(function* () {
            const known = ids.has(invoice.id)
            yield* Effect.yieldNow
            ids.add(invoice.id)
            const id = known ? invoice.id : (crypto.randomUUID() as Invoice.InvoiceId)
            return yield* store.create({ ...invoice, id })
          })
      }
    },
    law.createRace
  ),
  mutant(
    "has an empty history for what it doesn't know",
    (store) => ({
      history: (id) => Effect.catchTag(store.history(id), "InvoiceNotFound", () => Effect.succeed([]))
    }),
    law.unknown
  ),
  mutant(
    "finds an invoice twice that is asked for twice",
    (store) => ({
      getMany: (ids) =>
        Effect.map(
          Effect.forEach(ids, (id) => store.getMany([id])),
          (found) => found.flat()
        )
    }),
    law.many
  ),
  mutant(
    "finds none when one is missing",
    (store) => ({
      getMany: (ids) => Effect.map(store.getMany(ids), (found) => (found.length < new Set(ids).size ? [] : found))
    }),
    law.many
  ),
  mutant(
    "fails the next invoice after a conflict",
    (store) => {
      let spoiled = false
      return {
        create: (invoice) =>
          Effect.suspend(() => {
            if (!spoiled) return Effect.tapError(store.create(invoice), () => Effect.sync(() => (spoiled = true)))
            spoiled = false
            return Effect.fail(new StoreUnavailable({ kind: "unavailable", cause: "a neighbour" }))
          })
      }
    },
    law.neighbours
  ),
  mutant("is never ready", () => ({ ready: Effect.fail(standby) }), law.ready),
  mutant("takes writes and says that it does not", () => ({ writable: Effect.fail(standby) }), law.writable),
  mutant(
    "proves that it takes writes by an invoice that stays",
    (store) => ({ writable: Effect.asVoid(Effect.orDie(Effect.suspend(() => store.create(Generators.invoice())))) }),
    law.writable
  ),
  mutant(
    "goes by the client's clock",
    created((creation, { createdAt }) => ({
      ...creation,
      stored: { ...creation.stored, storedAt: createdAt ?? creation.stored.storedAt }
    })),
    law.times
  ),
  mutant(
    "counts seconds for milliseconds",
    (store) => ({
      history: (id) =>
        Effect.map(store.history(id), (entries) =>
          entries.map((entry) => ({ ...entry, at: laterUnder(1 / 1_000)(entry.at) }))
        )
    }),
    law.times
  ),
  mutant("forgets the trace of a creation", (store) => ({ create: (invoice) => store.create(invoice) }), law.traced),
  mutant(
    "makes up a trace",
    (store) => ({
      create: (invoice, options) =>
        store.create(invoice, { traceparent: options?.traceparent ?? `00-${"0".repeat(32)}-${"0".repeat(16)}-00` })
    }),
    law.traced
  ),
  mutant(
    "forgets the trace of a verdict",
    (store) => ({
      decide: (decisions) => store.decide(decisions.map(({ id, verdict, version }) => ({ id, verdict, version })))
    }),
    law.traced
  )
]

/** Decides something else than it is told. */
const decides = (change: (verdict: Verdict.Verdict) => Verdict.Verdict) => (store: Store) => ({
  decide: (decisions: Parameters<Store["decide"]>[0]) =>
    store.decide(decisions.map((decision) => ({ ...decision, verdict: change(decision.verdict) })))
})

export const decisions: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "drops warnings",
    decides((verdict) => ({
      ...verdict,
      violations: verdict.violations.filter(({ severity }) => severity === "error")
    })),
    law.reasons
  ),
  mutant(
    "approves everything",
    decides((verdict) => ({ ...verdict, status: "Approved" })),
    law.reasons,
    law.changes
  ),
  mutant(
    "keeps the fields of a reason in another order",
    shows((stored) => ({
      ...stored,
      violations: stored.violations.map(({ code, ...rest }) => ({ ...rest, code }))
    })),
    law.reasons
  ),
  mutant(
    "overwrites verdicts",
    (store) => {
      const last = new Map<string, Verdict.Verdict>()
      return {
        decide: (decisions) => {
          for (const { id, verdict } of decisions) last.set(id, verdict)
          return store.decide(decisions)
        },
        get: (id) => Effect.map(store.get(id), (stored) => ({ ...stored, ...last.get(id) }))
      }
    },
    law.final
  ),
  mutant(
    "ignores the version that was judged",
    (store) => ({
      decide: (decisions) => store.decide(decisions.map((decision) => ({ ...decision, version: 1 })))
    }),
    law.batch
  ),
  mutant(
    "decides a batch from its end",
    (store) => ({
      decide: (decisions) => Effect.map(store.decide(decisions.toReversed()), (decided) => decided.toReversed())
    }),
    law.batch
  ),
  mutant(
    "says Decided to everyone",
    (store) => ({
      decide: (decisions) =>
        Effect.map(store.decide(decisions), (decided) =>
          decided.map((one) => ({ ...one, outcome: "Decided" as const }))
        )
    }),
    law.verdictRace,
    law.final,
    law.batch
  ),
  mutant(
    "goes wrong only after some sequence of commands",
    (store) => {
      // a conflict leaves the next reading of its invoice's history one version too high
      const shaken = new Set<string>()
      return {
        create: (invoice, options) =>
          Effect.tapErrorTag(store.create(invoice, options), "InvoiceConflict", () =>
            Effect.sync(() => shaken.add(invoice.id))
          ),
        history: (id) =>
          Effect.map(store.history(id), (entries) =>
            shaken.delete(id) ? entries.map((entry) => ({ ...entry, version: entry.version + 1 })) : entries
          )
      }
    },
    law.model
  )
]
