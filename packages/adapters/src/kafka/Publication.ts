import { PublishRefused, PublishTransient } from "@invoice/core/InvoiceError"
import { Effect } from "effect"
import type { KafkaFailure } from "./KafkaFailure.ts"
import { explain } from "./MissingRight.ts"
import { type Bounds, type Indexed, isSuspect, orderedWith, runsOf } from "./Runs.ts"
import type { Sender, Unsent } from "./Sender.ts"
import type { TopicLimits } from "./TopicLimits.ts"

export interface Parts {
  readonly sender: Sender
  readonly limits: TopicLimits
  /** Maximum number of bytes of a send. */
  readonly maxSendBytes: number
}

const tooLarge = "MESSAGE_TOO_LARGE"
const invalidTopic = "INVALID_TOPIC_EXCEPTION"

/**
 * One call of `publish`. Kafka does not say which record of a batch it refuses. So the records of a refused send are
 * sent again one partition at a time, since the broker takes or refuses a partition's batch as a whole, and then in
 * parts. An accepted record is appended twice at most: by the first send and by one of the later ones. No record is
 * sent after a refused record of its topic and key.
 */
export class Publication {
  private readonly records: ReadonlyArray<Indexed>
  private readonly sender: Sender
  private readonly limits: TopicLimits
  private readonly bounds: Bounds
  private readonly refused = new Map<number, string>()
  /** Index of the first refused record by topic and key: nothing from there on is sent. */
  private readonly held = new Map<string, number>()
  /** Topics and keys with a record that is likely to be refused. They come last, so that they hold up nothing else. */
  private readonly late = new Set<string>()
  private readonly postponed: Array<Indexed> = []
  private isLast = false
  /** Indexes of the records that are neither acknowledged nor refused. */
  private readonly open: Set<number>
  /** Topics whose limit was asked for. */
  private readonly asked = new Set<string>()

  constructor(records: ReadonlyArray<Indexed>, { limits, maxSendBytes, sender }: Parts) {
    this.records = records
    this.open = new Set(records.map(({ index }) => index))
    this.sender = sender
    this.limits = limits
    this.bounds = { maxBytes: maxSendBytes, limitOf: (topic) => limits.of(topic) }
  }

  /** Sends all records but those that are refused or held back after a refused one. */
  get deliver(): Effect.Effect<void, PublishTransient | PublishRefused> {
    return Effect.gen({ self: this }, function* () {
      this.suspect()
      yield* this.send(this.records)
      // no record is postponed twice, whatever limits are learned from now on
      this.isLast = true
      this.late.clear()
      yield* this.sendEach(groupsOf(this.postponed))
      return yield* this.outcome
    })
  }

  /** Notes that the broker will never take these records. */
  refuse(records: ReadonlyArray<Indexed>, reason: string): void {
    for (const record of records) {
      this.refused.set(record.index, reason)
      this.open.delete(record.index)
      const name = orderedWith(record)
      this.held.set(name, Math.min(record.index, this.held.get(name) ?? record.index))
    }
  }

  private get outcome(): Effect.Effect<void, PublishTransient | PublishRefused> {
    const left = this.records.filter((record) => this.open.has(record.index) && !this.isHeld(record))
    if (left.length > 0) {
      return Effect.fail(new PublishTransient({ cause: new Error(`${left.length} messages were not sent`) }))
    }
    if (this.refused.size === 0) return Effect.void
    const records = [...this.refused].map(([index, reason]) => ({ index, reason }))
    return Effect.fail(new PublishRefused({ records: records.toSorted((a, b) => a.index - b.index) }))
  }

  private suspect(): void {
    if (this.isLast) return
    for (const record of this.records) if (isSuspect(record, this.bounds)) this.late.add(orderedWith(record))
  }

  private send(records: ReadonlyArray<Indexed>): Effect.Effect<void, PublishTransient> {
    return Effect.suspend(() => {
      const [run, ...rest] = runsOf(this.due(records), this.bounds)
      if (run === undefined) return Effect.void
      if (rest.length > 0) return this.sendEach([run, ...rest])
      return Effect.matchEffect(this.sender.send(run), {
        onFailure: (unsent) => this.settle(run, unsent),
        onSuccess: () => Effect.sync(() => this.acknowledged(run))
      })
    })
  }

  private sendEach(groups: ReadonlyArray<ReadonlyArray<Indexed>>): Effect.Effect<void, PublishTransient> {
    return Effect.forEach(groups, (group) => this.send(group), { discard: true })
  }

  private acknowledged(run: ReadonlyArray<Indexed>): void {
    for (const { index } of run) this.open.delete(index)
  }

  private isHeld(record: Indexed): boolean {
    return record.index >= (this.held.get(orderedWith(record)) ?? Number.POSITIVE_INFINITY)
  }

  private due(records: ReadonlyArray<Indexed>): ReadonlyArray<Indexed> {
    if (this.late.size === 0 && this.held.size === 0) return records
    const due: Array<Indexed> = []
    for (const record of records) {
      if (this.late.has(orderedWith(record))) this.postponed.push(record)
      else if (!this.isHeld(record)) due.push(record)
    }
    return due
  }

  private settle(run: ReadonlyArray<Indexed>, { failure, groups }: Unsent): Effect.Effect<void, PublishTransient> {
    if (!failure.refuses) {
      return Effect.andThen(explain(failure, run), Effect.fail(new PublishTransient({ cause: failure })))
    }
    const topics = [...Map.groupBy(run, ({ message }) => message.topic).values()]
    if (run.length === 1 || (topics.length === 1 && failure.type === invalidTopic)) {
      return Effect.sync(() => this.refuse(run, failure.message))
    }
    if (groups.length > 1) return this.sendEach(groups)
    // the send failed before it chose partitions
    if (topics.length > 1) return this.sendEach(topics)
    return Effect.flatMap(this.learn(run, failure), (splits) => (splits ? this.send(run) : this.sendEach(halves(run))))
  }

  /** Asks for the topic's limit, once; answers whether the run is to be split by it. */
  private learn(run: ReadonlyArray<Indexed>, { type }: KafkaFailure): Effect.Effect<boolean> {
    const topic = run[0]?.message.topic
    if (topic === undefined || type !== tooLarge || this.asked.has(topic)) return Effect.succeed(false)
    this.asked.add(topic)
    return Effect.map(this.limits.learn(topic), () => {
      this.suspect()
      return runsOf(run, this.bounds).length > 1
    })
  }
}

/**
 * Groups to send, with each key in order. Records of a refused send go one partition at a time, and the rest of their
 * keys with them.
 */
const groupsOf = (records: ReadonlyArray<Indexed>): ReadonlyArray<ReadonlyArray<Indexed>> => {
  const partitions = new Map<string, number>()
  for (const record of records) {
    if (record.partition !== undefined) partitions.set(orderedWith(record), record.partition)
  }
  const inOrder = records.toSorted((a, b) => a.index - b.index)
  const groups = Map.groupBy(inOrder, (record) => {
    const partition = partitions.get(orderedWith(record))
    return partition === undefined ? "" : `${record.message.topic}/${partition}`
  })
  return [...groups.values()]
}

const halves = (run: ReadonlyArray<Indexed>): ReadonlyArray<ReadonlyArray<Indexed>> => {
  const middle = Math.ceil(run.length / 2)
  return [run.slice(0, middle), run.slice(middle)]
}
