import { Deferred, type Duration, Effect, type Queue } from "effect"
import type { EachBatchPayload } from "kafkajs"
import { call } from "./Client.ts"
import type { Delivery } from "./Delivery.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"
import { after, type Offsets } from "./Offsets.ts"
import { PartitionQueue } from "./PartitionQueue.ts"

/** The methods of a consumer that decide which partitions are fetched, and from which offset. */
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
  /** Commits the pending offsets. */
  readonly commit: Effect.Effect<void, KafkaFailure>
  readonly maxBatch: number
  readonly setAsideAfter: Duration.Input
  readonly heartbeatInterval: Duration.Input
  readonly drainTimeout: Duration.Input
}

/** The offset that the fetch asked for, which kafkajs' types leave out. `firstOffset` is the first one that it got. */
const fetchedOffset = (batch: EachBatchPayload["batch"]): string | undefined =>
  "fetchedOffset" in batch && typeof batch.fetchedOffset === "string" ? batch.fetchedOffset : undefined

/** Where a partition goes on. Between `from` and `next` there are only records that kafkajs shows to nobody. */
interface Position {
  readonly from: string
  readonly next: string
}

/** The batches that a group member has in hand, between the fetches of kafkajs and the subscriber. */
export class GroupMember {
  private readonly options: Options
  /** By partition; a queue that is done stays until the next fetch. */
  private readonly queues = new Map<number, PartitionQueue>()
  private readonly positions = new Map<number, Position>()
  private readonly paused = new Set<number>()
  /** Sends the member's heartbeat; comes with each fetch. */
  private heartbeat: Effect.Effect<void, KafkaFailure> = Effect.void
  private readonly ending = Deferred.makeUnsafe<void>()
  /** While the group waits for this member to join (again) nothing new is handed out. */
  private joining = false

  constructor(options: Options) {
    this.options = options
  }

  /**
   * Runs before joining: waits until the batches in hand are acknowledged and commits them, in bounded time, so that
   * other members need not handle them again. A batch that is not acknowledged by then is given back.
   */
  get settle(): Effect.Effect<void> {
    const { commit, drainTimeout, heartbeatInterval } = this.options
    // the group expels a member that sends no heartbeat while the group waits for it
    const heartbeats = Effect.forever(
      Effect.delay(Effect.ignore(Effect.suspend(() => this.heartbeat)), heartbeatInterval)
    )
    return Effect.suspend(() => {
      this.joining = true
      const done = [...this.queues.values()].map((queue) => Deferred.await(queue.done))
      return Effect.raceFirst(
        Effect.all(done, { concurrency: "unbounded", discard: true }),
        Effect.raceFirst(Deferred.await(this.ending), heartbeats)
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

  /** The partitions are assigned anew: kafkajs reads them from the group's committed offsets on. */
  joined(): void {
    this.giveBack()
    this.queues.clear()
    this.positions.clear()
    this.options.offsets.forget()
    for (const partition of this.paused) this.options.fetching.resume(partition)
    this.paused.clear()
    this.joining = false
  }

  /** Gives back the batches in hand, and hands out nothing more. */
  get end(): Effect.Effect<void> {
    return Effect.andThen(
      Effect.sync(() => this.giveBack()),
      Effect.asVoid(Deferred.succeed(this.ending, undefined))
    )
  }

  /** Notes records that kafkajs has passed without showing them to anybody, such as transaction markers. */
  passedOver(batch: {
    readonly partition: number
    /** Null when all fetched records lie before the offset that was asked for (compressed and compacted). */
    readonly firstOffset: string | null
    readonly lastOffset: string
  }): void {
    const { firstOffset, lastOffset, partition } = batch
    const next = after(lastOffset)
    this.positions.set(partition, { from: this.fromOf(partition, firstOffset ?? lastOffset), next })
  }

  /**
   * Hands out the fetched records of a partition. kafkajs fetches from a broker again only when all records of the last
   * fetch are handled. So a slow partition is set aside: it is not fetched until its records in hand are handled.
   */
  handle(payload: EachBatchPayload): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.heartbeat = call(() => payload.heartbeat())
      const { partition } = payload.batch
      if (this.joining || Deferred.isDoneUnsafe(this.ending)) {
        // the records come again after the join; without the pause kafkajs would fetch them over and over until then
        this.pause(partition)
        return Effect.void
      }
      if (this.queues.get(partition)?.isDone === false) return Effect.void
      const queue = this.makeQueue(payload)
      this.queues.set(partition, queue)
      return Effect.flatMap(Effect.timeoutOption(Deferred.await(queue.done), this.options.setAsideAfter), (done) => {
        // if there was a join meanwhile, it has given the queue back and resumed all partitions
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
          // so that the member that has the partition next goes back as well
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
