/**
 * `invoice dlq list | replay`: lists messages that could not be handled, and sends them again once the cause is gone.
 */
import { type DeadLetter, DeadLetters } from "@invoice/core"
import { Console, Effect, Stream } from "effect"
import * as Config from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as OperatorCommand from "./OperatorCommand.ts"
import * as StartupError from "./StartupError.ts"

/** One object a line. The value is Base64, since it need not be text. */
const asJson = (deadLetter: DeadLetter.Entry): string =>
  JSON.stringify({
    partition: deadLetter.partition,
    offset: deadLetter.offset,
    key: deadLetter.key ?? null,
    kind: deadLetter.kind,
    reason: deadLetter.reason,
    attempts: deadLetter.attempts ?? null,
    time: deadLetter.at ?? null,
    from: deadLetter.from,
    headers: deadLetter.original?.headers ?? null,
    value: deadLetter.original === undefined ? null : Buffer.from(deadLetter.original.value).toString("base64")
  })

// keys and reasons may hold anything, also control codes of a terminal, so they are quoted
const asLine = ({ at, key, kind, offset, partition, reason }: DeadLetter.Entry): string =>
  [
    `${partition}/${offset}`,
    at ?? "-",
    kind,
    key === undefined ? "-" : JSON.stringify(key),
    JSON.stringify(reason)
  ].join("  ")

/** Runs an effect with the dead letters of the broker. */
const onBroker = <A, E extends Error>(effect: Effect.Effect<A, E, DeadLetters>) =>
  Effect.gen(function* () {
    const settings = yield* Config.load
    const brokers = yield* StartupError.required("dlq", "KAFKA_BROKERS", settings.kafkaBrokers)
    return yield* OperatorCommand.run(Effect.provide(effect, Backends.deadLetters(brokers)), "KAFKA_BROKERS")
  })

/** Prints the dead letters of a topic that were not sent again: partition/offset, time, kind, key and reason. */
export const list = ({ json, topic }: { readonly json: boolean; readonly topic: string }) =>
  onBroker(
    Effect.flatMap(DeadLetters, (deadLetters) =>
      Stream.runForEach(deadLetters.list(topic), (deadLetter) =>
        Console.log(json ? asJson(deadLetter) : asLine(deadLetter))
      )
    )
  )

/** Sends the dead letters of a topic again, those of a key or all. */
export const replay = (options: { readonly topic: string; readonly key: string | undefined; readonly all: boolean }) =>
  Effect.gen(function* () {
    const { all, key, topic } = options
    if (all === (key !== undefined)) {
      return yield* new StartupError.StartupError({ reason: "dlq replay needs one of --key KEY and --all" })
    }
    const { left, refused, sent } = yield* onBroker(
      Effect.flatMap(DeadLetters, (deadLetters) => deadLetters.replay({ topic, key }))
    )
    yield* Console.log(
      [
        `${sent} sent to ${topic} again`,
        ...(left === 0 ? [] : [`${left} left: their values were not kept`]),
        ...(refused === 0 ? [] : [`${refused} left: the broker refuses one of their key`])
      ].join(", ")
    )
  })
