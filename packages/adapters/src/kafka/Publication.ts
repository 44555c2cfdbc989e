import { PublishRefused, PublishTransient } from "@invoice/core/InvoiceError"
import { Effect } from "effect"
import type { KafkaFailure } from "./KafkaFailure.ts"
import { type Indexed, orderedWith, runsOf } from "./Runs.ts"
import type { Sender, Unsent } from "./Sender.ts"
import type { TopicLimits } from "./TopicLimits.ts"

export interface Parts {
  readonly sender: Sender
  readonly limits: TopicLimits
  /** Most bytes of a send. */
  readonly maxSendBytes: number
}

const tooLarge = "MESSAGE_TOO_LARGE"
const invalidTopic = "INVALID_TOPIC_EXCEPTION"

/**
 * One call of `publish`. Kafka does not say which record of a batch it refuses. So what was refused is sent again one
 * partition at a time, which the broker takes or refuses as a whole, and then in parts: what is taken was appended twice
 * at most, by the first send and by one of these. Nothing is sent behind a refused record of its topic and key.
 */
export class Publication {
  private readonly parts: Parts
  private readonly refused = new Map<number, string>()
  /** By topic and key the first refused record: nothing from there on is sent. */
  private readonly held = new Map<string, number>()
  /** Topics whose limit was asked for. */
  private readonly asked = new Set<string>()

  constructor(parts: Parts) {
    this.parts = parts
  }

  /** Sends what is not held back; a refusal is only noted. */
  deliver(records: ReadonlyArray<Indexed>): Effect.Effect<void, PublishTransient> {
    return Effect.suspend(() => {
      const [run, ...rest] = this.runs(records.filter((record) => this.isOpen(record)))
      if (run === undefined) return Effect.void
      if (rest.length === 0) return Effect.catch(this.parts.sender.send(run), (unsent) => this.settle(run, unsent))
      return Effect.forEach([run, ...rest], (one) => this.deliver(one), { discard: true })
    })
  }

  /** Notes that these records are never taken. */
  refuse(records: ReadonlyArray<Indexed>, reason: string): void {
    for (const record of records) {
      this.refused.set(record.index, reason)
      const name = orderedWith(record)
      this.held.set(name, Math.min(record.index, this.held.get(name) ?? record.index))
    }
  }

  /** Fails when anything was refused. */
  get outcome(): Effect.Effect<void, PublishRefused> {
    return Effect.suspend(() => {
      if (this.refused.size === 0) return Effect.void
      const records = [...this.refused].map(([index, reason]) => ({ index, reason }))
      return Effect.fail(new PublishRefused({ records: records.toSorted((a, b) => a.index - b.index) }))
    })
  }

  private isOpen(record: Indexed): boolean {
    const refused = this.held.get(orderedWith(record))
    return refused === undefined || record.index < refused
  }

  private runs(records: ReadonlyArray<Indexed>): ReadonlyArray<ReadonlyArray<Indexed>> {
    const { limits, maxSendBytes } = this.parts
    return runsOf(records, { maxBytes: maxSendBytes, limitOf: (topic) => limits.of(topic) })
  }

  private settle(run: ReadonlyArray<Indexed>, { failure, groups }: Unsent): Effect.Effect<void, PublishTransient> {
    if (!failure.refuses) {
      return Effect.andThen(explain(failure, run), Effect.fail(new PublishTransient({ cause: failure })))
    }
    const topics = [...Map.groupBy(run, ({ message }) => message.topic).values()]
    if (run.length === 1 || (topics.length === 1 && failure.type === invalidTopic)) {
      return Effect.sync(() => this.refuse(run, failure.message))
    }
    if (groups.length > 1) return this.deliverEach(groups)
    // it didn't come to choosing partitions
    if (topics.length > 1) return this.deliverEach(topics)
    return Effect.flatMap(this.learned(run, failure), (learned) =>
      learned ? this.deliver(run) : this.deliverEach(halves(run))
    )
  }

  private deliverEach(groups: ReadonlyArray<ReadonlyArray<Indexed>>): Effect.Effect<void, PublishTransient> {
    return Effect.forEach(groups, (group) => this.deliver(group), { discard: true })
  }

  /** Whether asking for the topic's limit tells how to split the run. */
  private learned(run: ReadonlyArray<Indexed>, { type }: KafkaFailure): Effect.Effect<boolean> {
    const topic = run[0]?.message.topic
    if (topic === undefined || type !== tooLarge || this.asked.has(topic)) return Effect.succeed(false)
    this.asked.add(topic)
    return Effect.map(this.parts.limits.learn(topic), () => this.runs(run).length > 1)
  }
}

const halves = (run: ReadonlyArray<Indexed>): ReadonlyArray<ReadonlyArray<Indexed>> => {
  const middle = Math.ceil(run.length / 2)
  return [run.slice(0, middle), run.slice(middle)]
}

/** Says which right somebody has to grant; the broker is asked again meanwhile. */
export const explain = (failure: KafkaFailure, records: ReadonlyArray<Indexed>): Effect.Effect<void> => {
  if (!failure.denied) return Effect.void
  const topics = [...new Set(records.map(({ message }) => message.topic))].toSorted().join(", ")
  const right =
    failure.type === "CLUSTER_AUTHORIZATION_FAILED"
      ? "IdempotentWrite on the cluster"
      : `Write on ${topics}, and Create where the topic does not exist`
  return Effect.annotateLogs(Effect.logWarning(`the broker denies publishing: grant this client ${right}`), { topics })
}
