/** Decides a database's pending invoices without Kafka: `direct` loads, judges, decides; `statement` only decides. */
import { Broker } from "@invoice/adapters/memory"
import { PostgresStore } from "@invoice/adapters/postgres"
import {
  InvoiceEvent,
  InvoiceStore,
  InvoiceValidator,
  Profile,
  ProfileValidator,
  ValidateInvoices
} from "@invoice/core"
import type { InvoiceId } from "@invoice/core/Invoice"
import type { Message } from "@invoice/core/Message"
import { Effect, Layer, Redacted } from "effect"
import * as Database from "./Database.ts"
import { rate } from "./Figures.ts"
import { answer, input } from "./Program.ts"

const { url, what } = input<{ readonly url: string; readonly what: "direct" | "statement" }>()

const batch = 500
const batchesAtATime = 3

const batches = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(all.length / batch) }, (_, index) => all.slice(index * batch, (index + 1) * batch))

/** Measures from the end of the first batch, just as the validator is measured from its first verdict. */
const timed = <A, E, R>(
  all: ReadonlyArray<A>,
  handle: (batch: ReadonlyArray<A>) => Effect.Effect<unknown, E, R>
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    let startedAt: number | undefined
    const first = Effect.sync(() => {
      startedAt ??= performance.now()
    })
    yield* Effect.forEach(batches(all), (some) => Effect.andThen(handle(some), first), {
      concurrency: batchesAtATime,
      discard: true
    })
    return rate(all.length - batch, performance.now() - (startedAt ?? Number.NaN))
  })

const database = Database.connect(url, 1)
const ids = (await database.query<{ id: InvoiceId }>("select id from invoice order by position")).map(({ id }) => id)
await database.disconnect()

const direct = Effect.gen(function* () {
  const { handle } = yield* ValidateInvoices
  const encoder = new TextEncoder()
  const messages = ids.map(
    (id): Message => ({
      topic: InvoiceEvent.topics.Pending,
      key: id,
      value: encoder.encode(InvoiceEvent.created(id).payload),
      headers: {}
    })
  )
  return yield* timed(messages, handle)
})

const statement = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const validator = yield* InvoiceValidator
  const decisions = yield* Effect.forEach(batches(ids), (some) =>
    Effect.flatMap(store.getMany(some), (found) =>
      Effect.forEach(found, ({ invoice, version }) =>
        Effect.map(validator.judge(invoice), (verdict) => ({ id: invoice.id, version, verdict }))
      )
    )
  )
  return yield* timed(decisions.flat(), store.decide)
})

const ports = Layer.mergeAll(
  PostgresStore.layer({ url: Redacted.make(url) }),
  ProfileValidator.layer(Profile.core),
  Broker.layer({ groups: [] })
)

answer({
  rate: await Effect.runPromise(
    Effect.gen(function* () {
      return what === "direct" ? yield* direct : yield* statement
    }).pipe(Effect.provide(ValidateInvoices.layer().pipe(Layer.provideMerge(ports))))
  )
})
