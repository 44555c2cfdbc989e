import { Cause, Effect, Option } from "effect"
import { call } from "./Client.ts"
import { type Ends, Handover } from "./Handover.ts"
import type { KafkaClient, ProducerClient } from "./KafkaClient.ts"
import { KafkaFailure } from "./KafkaFailure.ts"
import { partitioner } from "./Partitioner.ts"
import type { Indexed } from "./Runs.ts"

/** A send that is not known to be durable. */
export interface Unsent {
  readonly failure: KafkaFailure
  /** The records by topic and partition; empty when the send failed before it chose partitions. */
  readonly groups: ReadonlyArray<ReadonlyArray<Indexed>>
}

interface Open {
  readonly client: ProducerClient
  readonly ends: Ends
}

/**
 * One idempotent producer, acknowledged by all replicas, one send at a time, and no second try within kafkajs.
 *
 * A producer whose send failed is never used again: kafkajs gives the sequence numbers of a failed send to the next
 * one, and a broker that did append the first would drop the second as a duplicate. The exception is a send to a single
 * partition that the broker refused: a batch is appended as a whole or not at all, so its numbers are free.
 */
export class Sender {
  private readonly kafka: KafkaClient
  private readonly timeout: number
  private open: Open | undefined
  private handover: Handover | undefined

  /** @param timeout how long the brokers may take to replicate, in milliseconds */
  constructor(kafka: KafkaClient, timeout: number) {
    this.kafka = kafka
    this.timeout = timeout
  }

  /**
   * Succeeds when the answer acknowledges every record. Not interruptible, since kafkajs would go on sending beside the
   * next producer; its timeouts bound it.
   */
  send(records: ReadonlyArray<Indexed>): Effect.Effect<void, Unsent> {
    return Effect.suspend(() => {
      const handover = new Handover(records)
      return this.connected(handover.topics).pipe(
        Effect.flatMap((open) => this.handOver(open, handover)),
        Effect.onError((cause) => (keepsProducer(cause, handover) ? Effect.void : this.discard)),
        Effect.mapError((failure) => ({ failure, groups: handover.groups })),
        Effect.uninterruptible
      )
    })
  }

  /** Ends the producer once its requests under way are answered or timed out; the next send makes a new one. */
  get discard(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const old = this.open
      this.open = undefined
      return old === undefined ? Effect.void : Effect.ignore(call(() => old.client.disconnect()))
    })
  }

  private handOver({ client, ends }: Open, handover: Handover): Effect.Effect<void, KafkaFailure> {
    return Effect.flatMap(
      call(() => {
        this.handover = handover
        return client.sendBatch({ acks: -1, timeout: this.timeout, topicMessages: handover.topicMessages })
      }),
      (answer) => {
        const reason = handover.unacknowledged(answer, ends)
        return reason === undefined
          ? Effect.void
          : Effect.fail(new KafkaFailure({ type: "NOT_ACKNOWLEDGED", cause: new Error(reason) }))
      }
    )
  }

  private connected(topics: ReadonlyArray<string>): Effect.Effect<Open, KafkaFailure> {
    return Effect.suspend(() => {
      if (this.open !== undefined) return Effect.succeed(this.open)
      const client = this.producer()
      return connect(client, topics).pipe(
        Effect.tapError(() => Effect.ignore(call(() => client.disconnect()))),
        Effect.map(() => {
          this.open = { client, ends: new Map() }
          return this.open
        })
      )
    })
  }

  private producer(): ProducerClient {
    return this.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner: () => {
        const choose = partitioner()
        return (args) => {
          const partition = choose(args)
          this.handover?.put(args.message, partition)
          return partition
        }
      },
      allowAutoTopicCreation: false,
      // NaN means no retry. kafkajs requires at least one retry of an idempotent producer, but a retry skips the
      // brokers that have answered the first try, even if more partitions have moved there. NaN is not less than one,
      // so kafkajs accepts it, and no count of retries is less than NaN
      retry: { retries: Number.NaN }
    })
  }
}

/**
 * When kafkajs connects it looks at all topics of the cluster, and fails when any of them, also one of another
 * application, has a partition without a leader. A send of no messages first makes it look only at the topics that
 * matter.
 */
const connect = (client: ProducerClient, topics: ReadonlyArray<string>): Effect.Effect<void, KafkaFailure> =>
  Effect.catchIf(
    call(() => client.connect()),
    ({ type }) => type === "LEADER_NOT_AVAILABLE",
    () =>
      call(async () => {
        await client.sendBatch({ acks: -1, topicMessages: topics.map((topic) => ({ topic, messages: [] })) })
        await client.connect()
      })
  )

const keepsProducer = (cause: Cause.Cause<KafkaFailure>, handover: Handover): boolean =>
  handover.groups.length === 1 && Option.exists(Cause.findErrorOption(cause), (failure) => failure.refuses)
