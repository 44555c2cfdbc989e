/** Mutants of the relay, its outbox on Postgres and its publisher. */
import type { KafkaClient } from "@invoice/adapters/kafka"
import type { Outbox } from "@invoice/core"
import { Effect, Schedule } from "effect"
import * as Meanings from "../postgres/Statements.ts"
import * as Seams from "../Seams.ts"
import type { Mutant } from "./Mutant.ts"

type Port = Outbox["Service"]

/** kafkajs retries by itself, and the partitions that its answers lack are added, so the adapter finds none missing. */
const answersInFull = (kafka: KafkaClient): KafkaClient => ({
  consumer: (config) => kafka.consumer(config),
  admin: () => kafka.admin(),
  producer: (config) => {
    const given = new Map<string, { readonly topicName: string; readonly partition: number }>()
    const producer = kafka.producer({
      ...config,
      retry: { retries: 1 },
      createPartitioner: () => {
        const choose = config.createPartitioner?.()
        const chosen = new Map<unknown, number>()
        return (args) => {
          const partition = chosen.get(args.message) ?? choose?.(args) ?? 0
          chosen.set(args.message, partition)
          given.set(`${args.topic} ${partition}`, { topicName: args.topic, partition })
          return partition
        }
      }
    })
    return {
      connect: () => producer.connect(),
      disconnect: () => producer.disconnect(),
      sendBatch: async (batch) => {
        given.clear()
        const answers = await producer.sendBatch(batch)
        for (const { partition, topicName } of answers) given.delete(`${topicName} ${partition}`)
        return [...answers, ...[...given.values()].map((place) => ({ ...place, errorCode: 0 }))]
      }
    }
  }
})

/** A page's position ends at the snapshot's end instead of the newest visible event. */
const uncapped =
  (tail: Meanings.Meaning): Meanings.Meaning =>
  (session, parameters) =>
    tail(session, parameters).map((row) => ({ ...row, newest: String(session.server.snapshot().xmax - 1) }))

const nameless =
  (meaning: Meanings.Meaning): Meanings.Meaning =>
  (session, parameters) =>
    meaning(session, parameters).map((row) => ("server" in row ? { ...row, server: "0" } : row))

const regular = Meanings.outbox()

/** A position is accepted whichever start of the server it comes from. */
const ofAnyServer =
  (commitPosition: Meanings.Meaning): Meanings.Meaning =>
  (session, parameters) =>
    commitPosition(session, parameters.with(6, null))

/** After a failed read the session still commits the position that it had reached, as soon as the outbox answers. */
const commitsAfterFailure = (outbox: Port): Port => {
  let asked = ""
  let reached = ""
  let wasEmpty = true
  return {
    ...outbox,
    read: (options) => {
      reached = wasEmpty ? options.position : asked
      asked = options.position
      return outbox.read(options).pipe(
        Effect.tap((page) =>
          Effect.sync(() => {
            wasEmpty = page.events.length === 0
          })
        ),
        Effect.tapError(() =>
          Effect.forkDetach(
            Effect.ignore(
              Effect.retry(outbox.commit(options.lease, reached), {
                schedule: Schedule.spaced("50 millis"),
                times: 40,
                while: (error) => error._tag === "OutboxUnavailable"
              })
            )
          )
        )
      )
    }
  }
}

const hasEpoch: Meanings.IsHolder = (cursor, epoch) => cursor.epoch === Number(epoch)

const byEpoch = Meanings.outbox(hasEpoch)

const acquireLazily: Meanings.Meaning = (session, parameters) => {
  session.transaction.isSynchronous = false
  return regular.acquireLane(session, parameters)
}

/** Each new session of a relay begins without parked keys. */
const forgetsParked = (outbox: Port): Port => {
  let isFirst = true
  return {
    ...outbox,
    acquire: (options) => {
      isFirst = true
      return outbox.acquire(options)
    },
    parked: Effect.suspend(() => {
      const parked = isFirst ? Effect.succeed([]) : outbox.parked
      isFirst = false
      return parked
    })
  }
}

const commitsFirst = (outbox: Port): Port => ({
  ...outbox,
  read: (options) =>
    Effect.tap(outbox.read(options), (page) =>
      page.events.length === 0 ? Effect.void : Effect.ignore(outbox.commit(options.lease, page.next))
    )
})

/** The next pages of a window ignore its end, so they hold later events too. */
const restWithoutEnd: Meanings.Meaning = (session, parameters) => {
  const { xmax } = session.server.snapshot()
  return regular.readRest(session, parameters.with(2, `${xmax + 1_000}:${xmax + 1_000}:`)).map((row) => ({
    ...row,
    hi: parameters[2]
  }))
}

const altered = (meanings: Readonly<Record<string, Meanings.Meaning>>) => ({
  statements: Seams.statements({ ...regular, ...meanings })
})

export const relayMutants: ReadonlyArray<Mutant> = [
  {
    name: "answer-not-compared",
    world: "relay",
    fault: 1,
    what: "a publish is acknowledged whatever partitions the answer names",
    seed: 103,
    alterations: { kafka: answersInFull }
  },
  {
    name: "commit-after-failure",
    world: "relay",
    fault: 2,
    what: "a failed session commits its position, which is not capped, to whatever server answers next",
    seed: 83,
    alterations: {
      ...altered({ readTail: uncapped(regular.readTail), commitPosition: ofAnyServer(regular.commitPosition) }),
      outbox: commitsAfterFailure
    }
  },
  {
    name: "position-not-capped",
    world: "relay",
    fault: 3,
    what: "a position ends where the snapshot ends, and outlives a restart of the server",
    seed: 223,
    alterations: altered({
      readTail: nameless(uncapped(regular.readTail)),
      readRest: nameless(regular.readRest),
      acquireLane: nameless(regular.acquireLane),
      commitPosition: ofAnyServer(regular.commitPosition)
    })
  },
  {
    name: "acquire-lazily",
    world: "relay",
    fault: 6,
    what: "a lease is not durable when it is answered, outlives a restart, and is fenced by its epoch alone",
    seed: 281,
    alterations: {
      statements: Seams.statements({
        ...byEpoch,
        acquireLane: nameless(acquireLazily),
        readTail: nameless(byEpoch.readTail),
        readRest: nameless(byEpoch.readRest),
        commitPosition: ofAnyServer(byEpoch.commitPosition)
      })
    }
  },
  {
    name: "parked-keys-forgotten",
    world: "relay",
    what: "a relay that takes over a lane does not know which keys are parked",
    seed: 151,
    alterations: { outbox: forgetsParked }
  },
  {
    name: "position-before-send",
    world: "relay",
    what: "the position is committed before the broker has answered",
    seed: 70,
    alterations: { outbox: commitsFirst }
  },
  {
    name: "rest-without-end",
    world: "relay",
    what: "the next pages of a window also hold what began after it",
    seed: 396,
    alterations: altered({ readRest: restWithoutEnd })
  }
]
