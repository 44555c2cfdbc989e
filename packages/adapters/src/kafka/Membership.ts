import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"
import { Deferred, type Duration, Effect, Exit, Queue } from "effect"
import type { EachBatchPayload, KafkaMessage } from "kafkajs"
import { call } from "./Client.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"
import type { Offsets } from "./Offsets.ts"
import { incoming } from "./Records.ts"

/** A batch on its way to the subscriber. */
export interface Delivery {
  readonly batch: MessageBatch
  /** False once the batch is given back: its acknowledgement does nothing then. */
  readonly isHeld: () => boolean
}

export interface Parts {
  readonly queue: Queue.Enqueue<Delivery>
  readonly offsets: Offsets
  /** Commits what the offsets have pending. */
  readonly commit: Effect.Effect<void, KafkaFailure>
  readonly maxBatch: number
  readonly heartbeatInterval: Duration.Input
  readonly drainTimeout: Duration.Input
}

const chunksOf = (messages: ReadonlyArray<KafkaMessage>, size: number): ReadonlyArray<ReadonlyArray<KafkaMessage>> =>
  Array.from({ length: Math.ceil(messages.length / size) }, (_, index) =>
    messages.slice(index * size, (index + 1) * size)
  )

/** What a member of a group has in hand, between the fetches of kafkajs and the subscriber. */
export class Membership {
  private readonly parts: Parts
  /** Batches that wait to be acknowledged; true when they are, false when they are given back. */
  private readonly inHand = new Set<Deferred.Deferred<boolean>>()
  private readonly ending = Deferred.makeUnsafe<void>()
  /** Counts the assignments of partitions: what an earlier one handed out is no longer held. */
  private generation = 0
  /** While the group waits for this member to join (again) nothing new is handed out. */
  private joining = false

  constructor(parts: Parts) {
    this.parts = parts
  }

  /** To do before joining: finishes what is in hand and commits it, in bounded time, so that others need not do it again. */
  get settle(): Effect.Effect<void> {
    const { commit, drainTimeout } = this.parts
    return Effect.suspend(() => {
      this.joining = true
      const settled = Effect.forEach(this.inHand, (one) => Deferred.await(one), { concurrency: "unbounded" })
      return Effect.raceFirst(settled, Deferred.await(this.ending)).pipe(
        Effect.timeoutOption(drainTimeout),
        Effect.andThen(Effect.timeout(commit, drainTimeout)),
        Effect.ignore
      )
    })
  }

  joined(): void {
    this.generation += 1
    this.joining = false
    this.parts.offsets.forget()
  }

  /** Gives back what is in hand. */
  get end(): Effect.Effect<void> {
    return Effect.asVoid(Deferred.succeed(this.ending, undefined))
  }

  /** Hands out what was fetched of a partition, a bounded batch at a time, until one is given back. */
  handle(payload: EachBatchPayload): Effect.Effect<void, KafkaFailure> {
    const chunks = chunksOf(payload.batch.messages, this.parts.maxBatch)
    return Effect.gen({ self: this }, function* () {
      for (const [index, chunk] of chunks.entries()) {
        // the end of a fetch may be records that only Kafka sees (transaction markers)
        const last = index === chunks.length - 1 ? payload.batch.lastOffset() : chunk.at(-1)?.offset
        if (last === undefined || this.joining) return
        if (!(yield* this.handOut(payload, chunk, last))) return
      }
    })
  }

  private handOut(
    payload: EachBatchPayload,
    messages: ReadonlyArray<KafkaMessage>,
    last: string
  ): Effect.Effect<boolean, KafkaFailure> {
    return Effect.suspend(() => {
      const { topic, partition } = payload.batch
      const { generation } = this
      const acknowledged = Deferred.makeUnsafe<boolean>()
      const isHeld = () =>
        this.generation === generation &&
        !Deferred.isDoneUnsafe(acknowledged) &&
        !Deferred.isDoneUnsafe(this.ending) &&
        payload.isRunning() &&
        !payload.isStale()
      const acknowledge = Effect.sync(() => {
        if (this.generation !== generation || Deferred.isDoneUnsafe(acknowledged)) return
        payload.resolveOffset(last)
        this.parts.offsets.acknowledge(partition, last)
        Deferred.doneUnsafe(acknowledged, Exit.succeed(true))
      })
      this.inHand.add(acknowledged)
      Queue.offerUnsafe(this.parts.queue, {
        isHeld,
        batch: { topic, partition, messages: messages.map((message) => incoming(topic, message)), acknowledge }
      })
      return Effect.ensuring(
        this.wait(payload, acknowledged, isHeld),
        Effect.sync(() => {
          this.inHand.delete(acknowledged)
          Deferred.doneUnsafe(acknowledged, Exit.succeed(false))
        })
      )
    })
  }

  /** Waits for the acknowledgement with a beating heart; fails, once all is settled, when a heartbeat is refused. */
  private wait(
    payload: EachBatchPayload,
    acknowledged: Deferred.Deferred<boolean>,
    isHeld: () => boolean
  ): Effect.Effect<boolean, KafkaFailure> {
    const { heartbeatInterval } = this.parts
    const outcome = Effect.raceFirst(Deferred.await(acknowledged), Effect.as(Deferred.await(this.ending), false))
    const heartbeat = call(() => payload.heartbeat())
    // a heartbeat keeps the membership though it reports the rebalance
    const beating = Effect.forever(Effect.delay(Effect.ignore(heartbeat), heartbeatInterval))
    const refused = (failure: KafkaFailure) =>
      Effect.andThen(failure.rebalances ? Effect.raceFirst(this.settle, beating) : Effect.void, Effect.fail(failure))
    const wait: Effect.Effect<boolean, KafkaFailure> = Effect.timeoutOption(outcome, heartbeatInterval).pipe(
      Effect.tap(() => Effect.catch(heartbeat, refused)),
      Effect.flatMap((result) => {
        if (result._tag === "Some") return Effect.succeed(result.value)
        return isHeld() ? wait : Effect.succeed(false)
      })
    )
    return wait
  }
}
