/** `invoice outbox status | parked | replay | lanes | restamp`: what an operator asks of the outbox and does to it. */
import { OutboxAdmin } from "@invoice/adapters/postgres"
import { Outbox } from "@invoice/core"
import type { LaneStatus } from "@invoice/core/ports/Outbox"
import { Console, Effect, Option } from "effect"
import * as Config from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as OperatorCommand from "./OperatorCommand.ts"
import * as StartupError from "./StartupError.ts"

/** Runs an effect with the outbox, on Postgres or through a storage program. */
const onOutbox = <A, E extends Error>(effect: Effect.Effect<A, E, Outbox>) =>
  OperatorCommand.run(
    Effect.gen(function* () {
      const settings = yield* Config.load
      const store = yield* Backends.store("outbox", settings)
      return yield* Effect.provide(effect, store)
    })
  )

/** Runs an effect on the database itself, which a storage program can't do. */
const onDatabase = <A, E extends Error>(
  run: (settings: Config.Settings) => Effect.Effect<A, E, Effect.Services<typeof OutboxAdmin.restamp>>
) =>
  OperatorCommand.run(
    Effect.gen(function* () {
      const settings = yield* Config.load
      yield* StartupError.noStorage("outbox", settings)
      const url = yield* StartupError.required("outbox", "DATABASE_URL", settings.databaseUrl)
      yield* Backends.migrate(url)
      return yield* Effect.provide(run(settings), OutboxAdmin.layer({ url }))
    })
  )

/** Columns as wide as their widest cell. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

const seconds = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} s`

const laneRow = ({ epoch, events, lane, owner, seconds: age }: LaneStatus): ReadonlyArray<string> => [
  String(lane),
  Option.getOrElse(owner, () => "-"),
  epoch,
  String(events),
  events === 0 ? "-" : seconds(age)
]

/** Prints the lanes, who holds them and what waits in them. */
export const status = ({ json }: { readonly json: boolean }) =>
  onOutbox(
    Effect.gen(function* () {
      const outbox = yield* Outbox
      const { lanes, oldestTransactionSeconds } = yield* outbox.status
      const parked = yield* outbox.parked
      yield* Console.log(
        json
          ? JSON.stringify({
              lanes: lanes.map(({ owner, ...lane }) => ({ ...lane, owner: Option.getOrNull(owner) })),
              oldestTransactionSeconds,
              parkedKeys: parked.length
            })
          : [
              table([["lane", "held by", "epoch", "events waiting", "oldest"], ...lanes.map(laneRow)]),
              `parked keys: ${parked.length}; oldest open transaction: ${seconds(oldestTransactionSeconds)}`
            ].join("\n")
      )
    })
  )

/** Prints the parked keys, oldest first. Keys and reasons may hold control codes of a terminal, so they are quoted. */
export const parked = ({ json }: { readonly json: boolean }) =>
  onOutbox(
    Effect.flatMap(
      Effect.flatMap(Outbox, ({ parked }) => parked),
      (keys) =>
        Effect.forEach(
          keys,
          (key) =>
            Console.log(
              json
                ? JSON.stringify(key)
                : [
                    JSON.stringify(key.key),
                    key.since,
                    `${key.events} events`,
                    JSON.stringify(key.reason),
                    ...(key.replay ? ["to be sent again"] : [])
                  ].join("  ")
            ),
          { discard: true }
        )
    )
  )

/** Asks the relay to send a parked key's events again. */
export const replay = ({ key }: { readonly key: string }) =>
  Effect.gen(function* () {
    const events = yield* onOutbox(Effect.flatMap(Outbox, (outbox) => outbox.replay(key)))
    if (events === 0) {
      return yield* new StartupError.StartupError({ reason: `no event of the key ${JSON.stringify(key)} is parked` })
    }
    yield* Console.log(`the relay will send ${events} events of the key again, in order`)
  })

/** Prints how many lanes there are, or changes it. */
export const lanes = ({ count }: { readonly count: number | undefined }) =>
  count === undefined
    ? onOutbox(
        Effect.flatMap(
          Effect.flatMap(Outbox, ({ status }) => status),
          ({ lanes }) => Console.log(String(lanes.length))
        )
      )
    : Effect.andThen(
        onDatabase((settings) => OutboxAdmin.resize({ lanes: count, partitions: settings.kafkaPartitions })),
        Console.log(`the outbox has ${count} lanes now`)
      )

/** Adapts the outbox of a restored database to the database system that it is in now. */
export const restamp = ({ upgraded }: { readonly upgraded: boolean }) =>
  upgraded
    ? Effect.andThen(
        onDatabase(() => OutboxAdmin.adopt),
        Console.log("the outbox belongs to this database system now, with the transaction ids of before")
      )
    : Effect.flatMap(
        onDatabase(() => OutboxAdmin.restamp),
        ({ published, waiting }) =>
          Console.log(`${waiting} events wait to be published, ${published} were published before`)
      )
