import { Deferred, type Duration, Effect, type Queue } from "effect"
import type { EachBatchPayload } from "kafkajs"
import { call } from "./Client.ts"
import type { Delivery } from "./Delivery.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"
import { after, type Offsets } from "./Offsets.ts"
import { PartitionQueue } from "./PartitionQueue.ts"

/** What of a consumer decides which partitions are fetched, and from where. */
export interface Fetching {
  readonly pause: (partition: number) => void
  readonly resume: (partition: number) => void
  readonly seek: (partition: number, offset: string) => void
}

export interface Options {
  readonly topic: string
  readonly queue: Queue.Enqueue<Delivery>
  readonly offsets: Offsets
  readonly fetching: Fetching
  /** Commits what the offsets have pending. */
  readonly commit: Effect.Effect<void, KafkaFailure>
  readonly maxBatch: number
  readonly setAsideAfter: Duration.Input
  readonly heartbeatInterval: Duration.Input
  readonly drainTimeout: Duration.Input
}

/** kafkajs' own, which its types leave out: what the fetch asked for, while `firstOffset` is what it got. */
const fetchedOffset = (batch: EachBatchPayload["batch"]): string | undefined =>
  "fetchedOffset" in batch && typeof batch.fetchedOffset === "string" ? batch.fetchedOffset : undefined

/** Where a partition goes on; the same place by two names when records between them are for Kafka's eyes only. */
interface Position {
  readonly from: string
  readonly next: string
}

/** What a member of a group has in hand, between the fetches of kafkajs and the subscriber. */
export class GroupMember {
  private readonly options: Options
  /** By partition; one that is done stays until the next fetch. */
  private readonly queues = new Map<number, PartitionQueue>()
  private readonly positions = new Map<number, Position>()
  private readonly paused = new Set<number>()
  /** The heartbeat of the member, as the last fetch brought it. */
  private heartbeat: Effect.Effect<void, KafkaFailure> = Effect.void
  private readonly ending = Deferred.makeUnsafe<void>()
  /** While the group waits for this member to join (again) nothing new is handed out. */
  private joining = false

  constructor(options: Options) {
    this.options = options
  }

  /**
   * To do before joining: finishes what is in hand and commits it, in bounded time, so that others need not do it again.
   * What is not finished then is given back.
   */
  get settle(): Effect.Effect<void> {
    const { commit, drainTimeout, heartbeatInterval } = this.options
    // whoever is silent while the group waits for it is expelled
    const beating = Effect.forever(Effect.delay(Effect.ignore(Effect.suspend(() => this.heartbeat)), heartbeatInterval))
    return Effect.suspend(() => {
      this.joining = true
      const done = [...this.queues.values()].map((queue) => Deferred.await(queue.done))
      return Effect.raceFirst(
        Effect.all(done, { concurrency: "unbounded", discard: true }),
        Effect.raceFirst(Deferred.await(this.ending), beating)
      ).pipe(
        Effect.timeoutOption(drainTimeout),
        Effect.andThen(Effect.sync(() => this.giveBack())),
        Effect.andThen(Effect.timeout(commit, drainTimeout)),
        Effect.ignore
      )
    })
  }

  /** Whether the group waits for this member, or this member for its group. */
  get isJoining(): boolean {
    return this.joining
  }

  /** The partitions are assigned anew: kafkajs reads them from what the group has committed. */
  joined(): void {
    this.giveBack()
    this.queues.clear()
    this.positions.clear()
    this.options.offsets.forget()
    for (const partition of this.paused) this.options.fetching.resume(partition)
    this.paused.clear()
    this.joining = false
  }

  /** Gives back what is in hand, for good. */
  get end(): Effect.Effect<void> {
    return Effect.andThen(
      Effect.sync(() => this.giveBack()),
      Effect.asVoid(Deferred.succeed(this.ending, undefined))
    )
  }

  /** kafkajs goes past records that nobody is meant to see (transaction markers) without showing them. */
  passedOver(batch: {
    readonly partition: number
    /** None when all that was fetched lies before what was asked for (compressed and compacted). */
    readonly firstOffset: string | null
    readonly lastOffset: string
  }): void {
    const { firstOffset, lastOffset, partition } = batch
    const next = after(lastOffset)
    this.positions.set(partition, { from: this.fromOf(partition, firstOffset ?? lastOffset), next })
  }

  /**
   * Hands out what was fetched of a partition. kafkajs fetches no partition of a broker before all of the last fetch is
   * done with; so a partition that takes its time is set aside: not fetched until what is in hand is done with.
   */
  handle(payload: EachBatchPayload): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.heartbeat = call(() => payload.heartbeat())
      const { partition } = payload.batch
      if (this.joining || Deferred.isDoneUnsafe(this.ending)) {
        // comes again after the join; not at once, and over and over
        this.pause(partition)
        return Effect.void
      }
      if (this.queues.get(partition)?.isDone === false) return Effect.void
      const queue = this.makeQueue(payload)
      this.queues.set(partition, queue)
      return Effect.flatMap(Effect.timeoutOption(Deferred.await(queue.done), this.options.setAsideAfter), (done) => {
        // a join that came between has given it back and resumed all partitions
        if (done._tag === "Some" || this.queues.get(partition) !== queue) return Effect.void
        this.pause(partition)
        return Effect.asVoid(
          Effect.forkDetach(Effect.andThen(Deferred.await(queue.done), this.fetchAgain(partition, queue)))
        )
      })
    })
  }

  private makeQueue(payload: EachBatchPayload): PartitionQueue {
    const { maxBatch, offsets, queue, topic } = this.options
    const { batch } = payload
    const { partition } = batch
    const last = batch.lastOffset()
    return new PartitionQueue(
      {
        topic,
        partition,
        queue,
        maxBatch,
        acknowledged: (last, next) => {
          payload.resolveOffset(last)
          offsets.goOnAt(partition, next)
          this.positions.set(partition, { from: next, next })
        },
        rewind: (offset) => {
          this.positions.delete(partition)
          // whoever has the partition next goes back as well
          offsets.goOnAt(partition, offset)
          this.options.fetching.seek(partition, offset)
        }
      },
      {
        messages: batch.messages,
        from: this.fromOf(partition, fetchedOffset(batch) ?? batch.firstOffset() ?? last),
        last
      }
    )
  }

  private fromOf(partition: number, fetched: string): string {
    const position = this.positions.get(partition)
    return position?.next === fetched ? position.from : fetched
  }

  private pause(partition: number): void {
    this.paused.add(partition)
    this.options.fetching.pause(partition)
  }

  private fetchAgain(partition: number, queue: PartitionQueue): Effect.Effect<void> {
    return Effect.sync(() => {
      if (this.joining || this.queues.get(partition) !== queue || !this.paused.delete(partition)) return
      this.options.fetching.resume(partition)
    })
  }

  private giveBack(): void {
    for (const queue of this.queues.values()) queue.close()
  }
}
