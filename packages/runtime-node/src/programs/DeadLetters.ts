/** `invoice dlq list | replay`: what could not be handled, and sending it again once the cause is gone. */
import { type DeadLetter, DeadLetters } from "@invoice/core"
import { Console, Effect, Logger, Stream } from "effect"
import * as Config from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Refusal from "./Refusal.ts"

/** One object a line. The value as Base64: it need not be text. */
const asJson = (letter: DeadLetter.Letter): string =>
  JSON.stringify({
    partition: letter.partition,
    offset: letter.offset,
    key: letter.key ?? null,
    kind: letter.kind,
    reason: letter.reason,
    attempts: letter.attempts ?? null,
    time: letter.at ?? null,
    from: letter.from,
    headers: letter.original?.headers ?? null,
    value: letter.original === undefined ? null : Buffer.from(letter.original.value).toString("base64")
  })

// keys and reasons may hold anything, also what a terminal obeys
const asLine = ({ at, key, kind, offset, partition, reason }: DeadLetter.Letter): string =>
  [
    `${partition}/${offset}`,
    at ?? "-",
    kind,
    key === undefined ? "-" : JSON.stringify(key),
    JSON.stringify(reason)
  ].join("  ")

/** With the dead letters of the broker; what is logged goes to standard error, apart from what is asked for. */
const onBroker = <A, E extends { readonly message: string; readonly cause?: unknown }>(
  effect: Effect.Effect<A, E, DeadLetters>
) =>
  Effect.gen(function* () {
    const settings = yield* Config.load
    const brokers = yield* Refusal.required("dlq", "KAFKA_BROKERS", settings.kafkaBrokers)
    return yield* effect.pipe(
      Effect.mapError(
        (error) =>
          new Refusal.Refusal({
            reason: `KAFKA_BROKERS: ${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ""}`
          })
      ),
      Effect.provide(Backends.deadLetters(brokers)),
      Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]))
    )
  })

/** Prints the letters of a topic that were not sent again: partition/offset, time, kind, key and reason. */
export const list = ({ json, topic }: { readonly json: boolean; readonly topic: string }) =>
  onBroker(
    Effect.flatMap(DeadLetters, (letters) =>
      Stream.runForEach(letters.list(topic), (letter) => Console.log(json ? asJson(letter) : asLine(letter)))
    )
  )

/** Sends the letters of a topic again, those of a key or all. */
export const replay = (options: { readonly topic: string; readonly key: string | undefined; readonly all: boolean }) =>
  Effect.gen(function* () {
    const { all, key, topic } = options
    if (all === (key !== undefined)) {
      return yield* new Refusal.Refusal({ reason: "dlq replay needs one of --key KEY and --all" })
    }
    const { left, refused, sent } = yield* onBroker(
      Effect.flatMap(DeadLetters, (letters) => letters.replay({ topic, key }))
    )
    yield* Console.log(
      [
        `${sent} sent to ${topic} again`,
        ...(left === 0 ? [] : [`${left} left: their values were not kept`]),
        ...(refused === 0 ? [] : [`${refused} left: the broker refuses one of their key`])
      ].join(", ")
    )
  })
