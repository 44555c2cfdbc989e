/**
 * The behaviour of kafkajs on which the adapter relies beyond its documented interface (ADR 0003). All of it is checked
 * when a process makes its first client, so that another kafkajs, or a patched one, fails then and not with the first
 * message.
 */
import { createRequire } from "node:module"
import { isDeepStrictEqual } from "node:util"
import { Effect } from "effect"
import { KafkaFailure } from "./KafkaFailure.ts"
import { connecting, fetchersEnd, handling, handsOutCluster, joining, type Load, sends, silent } from "./ShapeChecks.ts"

export interface Shape {
  /** What is wrong when the check fails. */
  readonly sentence: string
  readonly holds: (load: Load) => boolean | Promise<boolean>
}

const record = { offset: "5", isControlRecord: false }

export const shapes: Readonly<Record<string, Shape>> = {
  requestQueue: {
    sentence: "the request queue has no pending requests and no timer that can be replaced",
    holds: (load) => {
      const RequestQueue = load("kafkajs/src/network/requestQueue") as new (parts: object) => object
      const queue: Readonly<Record<string, unknown>> = { ...new RequestQueue({ logger: silent }) }
      const methods: Readonly<Record<string, unknown>> = RequestQueue.prototype
      return (
        Array.isArray(queue["pending"]) &&
        queue["throttledUntil"] === -1 &&
        queue["throttleCheckTimeoutId"] === null &&
        typeof methods["scheduleCheckPendingRequests"] === "function" &&
        typeof methods["checkPendingRequests"] === "function"
      )
    }
  },
  assignersCluster: {
    sentence: "a consumer does not hand its cluster to its partition assigners when it is made",
    holds: handsOutCluster
  },
  coordinator: {
    sentence:
      "a try to join does not consist of findGroupCoordinator of the cluster, joinGroup of the answer, refreshMetadata and syncGroup",
    holds: async (load) =>
      isDeepStrictEqual(await joining(load), ["findGroupCoordinator", "joinGroup", "refreshMetadata", "syncGroup"])
  },
  fetchers: {
    sentence:
      "a fetcher does not ask the cluster for its brokers (getNodeIds) before each fetch, or goes on when that throws",
    holds: fetchersEnd
  },
  fetchedOffset: {
    sentence: "a batch does not say from which offset on it was fetched (fetchedOffset)",
    holds: async (load) => {
      const batch = (await handling(load, record)).payload?.batch
      return batch !== undefined && Reflect.get(batch, "fetchedOffset") === "3"
    }
  },
  lateResolveOffset: {
    sentence: "resolveOffset has no effect once eachBatch has returned",
    holds: async (load) => {
      const { payload, resolved } = await handling(load, record)
      if (resolved.length > 0) return false
      payload?.resolveOffset("5")
      return isDeepStrictEqual(resolved, [{ topic: "t", partition: 2, offset: "5" }])
    }
  },
  endBatchProcess: {
    sentence: "END_BATCH_PROCESS does not name partition and offsets of records that kafkajs shows to nobody",
    holds: async (load) => {
      const { events, payload } = await handling(load, { ...record, isControlRecord: true })
      const event = events.get("consumer.end_batch_process")
      if (payload !== undefined || typeof event !== "object" || event === null) return false
      const { batchSize, firstOffset, lastOffset, partition } = event as Readonly<Record<string, unknown>>
      return isDeepStrictEqual([partition, batchSize, firstOffset, lastOffset], [2, 0, "5", "5"])
    }
  },
  messageIdentity: {
    sentence: "the partitioner is not asked for the very message objects that were handed over",
    holds: async (load) => {
      const { asked, given } = await sends(load)
      return given.every((message) => asked.includes(message))
    }
  },
  triesOnce: {
    sentence: "a producer with retries: NaN does not try a send exactly once",
    holds: async (load) => {
      const { asked, sequences } = await sends(load)
      return sequences.length === 3 && asked.length === 3
    }
  },
  targetTopics: {
    sentence: "a producer that failed to connect does not learn from a send of no messages which topics matter",
    holds: async (load) =>
      isDeepStrictEqual(await connecting(load), ["connect", "failed", "look at t", "connect", "initProducerId"])
  },
  sequenceNumbers: {
    sentence: "a send that the broker refused uses up sequence numbers",
    holds: async (load) => (await sends(load)).sequences.every((sequence) => sequence === 0)
  },
  answer: {
    sentence: "a send does not answer with topicName, partition, errorCode and baseOffset of each partition",
    holds: async (load) =>
      isDeepStrictEqual((await sends(load)).answer, [{ topicName: "t", partition: 0, errorCode: 0, baseOffset: "7" }])
  },
  nestedErrors: {
    sentence: "an error does not carry the type of the broker's error, or not within its cause",
    holds: async (load) =>
      isDeepStrictEqual(
        (await sends(load)).errors.map((error) => KafkaFailure.from(error).type),
        ["MESSAGE_TOO_LARGE", "NOT_LEADER_FOR_PARTITION"]
      )
  }
}

/** The sentences of the checks that fail. */
export const violations = async (load: Load): Promise<ReadonlyArray<string>> => {
  const sentences = await Promise.all(
    Object.values(shapes).map(async ({ holds, sentence }) => {
      try {
        return (await holds(load)) ? [] : [sentence]
      } catch (error) {
        return [`${sentence} (${String(error)})`]
      }
    })
  )
  return sentences.flat()
}

let checked: Promise<ReadonlyArray<string>> | undefined

/** Dies when a check fails. */
export const requireShapes: Effect.Effect<void> = Effect.promise(() => {
  checked ??= violations(createRequire(import.meta.url))
  return checked
}).pipe(
  Effect.flatMap((sentences) =>
    sentences.length === 0
      ? Effect.void
      : Effect.die(new Error(`the Kafka adapter needs kafkajs 2.2.4, and this one is another: ${sentences.join("; ")}`))
  )
)
