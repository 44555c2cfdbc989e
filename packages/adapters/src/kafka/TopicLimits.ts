import { Effect } from "effect"
import type { ConfigEntries } from "kafkajs"
import { call } from "./Client.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import { withAdmin } from "./Topics.ts"

/** Kafka's number for a topic among the kinds of resources that have a configuration. */
const topicResource = 2
const name = "max.message.bytes"

/**
 * The largest batch that a topic takes, for topics that were asked for. It is only a hint where to split, since the
 * limit may change at any time, and reading it may be denied. The broker's answer to the records decides.
 */
export class TopicLimits {
  private readonly kafka: KafkaClient
  private readonly known = new Map<string, number>()

  constructor(kafka: KafkaClient) {
    this.kafka = kafka
  }

  /** In bytes; undefined when it is not known. */
  of(topic: string): number | undefined {
    return this.known.get(topic)
  }

  learn(topic: string): Effect.Effect<void> {
    return withAdmin(this.kafka, (admin) =>
      call(() =>
        admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: topicResource, name: topic, configNames: [name] }]
        })
      )
    ).pipe(
      Effect.flatMap(({ resources }) => Effect.sync(() => this.note(topic, resources[0]?.configEntries ?? []))),
      Effect.catch((failure) =>
        Effect.annotateLogs(Effect.logDebug(`${name} can't be read`, failure.message), { topic })
      )
    )
  }

  private note(topic: string, entries: ReadonlyArray<ConfigEntries>): void {
    const value = entries.find(({ configName }) => configName === name)?.configValue
    const limit = Number.parseInt(value ?? "", 10)
    if (limit > 0) this.known.set(topic, limit)
  }
}
