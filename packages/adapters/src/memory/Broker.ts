/**
 * An in-process broker: topics with partitions and consumer groups over one shared state.
 *
 * `publish` resolves only when every group of the topic has acknowledged the batch, so that durability stays with the
 * publisher (the outbox). A group counts from its first subscription on, also while it has no subscriber, or from the
 * start when {@link Options.groups} names it; a topic without groups takes messages at once.
 *
 * Messages that all groups have acknowledged are kept for groups still to come: the last {@link Options.kept} of a
 * topic. Nothing is kept across a restart.
 */
import { MessageConsumer, type Subscription } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { Context, Effect, Layer, Stream } from "effect"
import { Topic } from "./Topic.ts"

export interface Options {
  /** Partitions of each topic; default 6. */
  readonly partitions?: number
  /** Maximum number of messages in a batch; default 500. */
  readonly maxBatch?: number
  /** Messages that a topic keeps at least (and at most twice as many) when its groups are done; default 100,000. */
  readonly kept?: number
  /** Groups for which `publish` waits even before their first subscription. */
  readonly groups?: ReadonlyArray<Subscription>
}

/** One broker, which lives as long as the layer. */
export const layer = (options: Options = {}): Layer.Layer<MessagePublisher | MessageConsumer | TopicReader> =>
  Layer.effectContext(
    Effect.sync(() => {
      const topics = new Map<string, Topic>()
      const topicOf = (name: string): Topic => {
        const known = topics.get(name)
        if (known !== undefined) return known
        const topic = new Topic(name, options.partitions ?? 6, options.maxBatch ?? 500, options.kept ?? 100_000)
        topics.set(name, topic)
        return topic
      }
      for (const { topic, group } of options.groups ?? []) topicOf(topic).group(group)

      const publisher = MessagePublisher.of({
        publish: (messages) =>
          Effect.suspend(() => {
            const byTopic = Map.groupBy(messages, (message) => topicOf(message.topic))
            return Effect.forEach(byTopic, ([topic, some]) => topic.publish(some), {
              concurrency: "unbounded",
              discard: true
            })
          }),
        ready: Effect.void
      })

      const consumer = MessageConsumer.of({
        subscribe: ({ topic, group }) =>
          Stream.unwrap(
            Effect.map(
              Effect.acquireRelease(
                Effect.sync(() => topicOf(topic).group(group).subscribe()),
                (subscriber) => Effect.sync(() => subscriber.close())
              ),
              (subscriber) => Stream.fromEffectRepeat(subscriber.take)
            )
          )
      })

      const reader = TopicReader.of({
        read: (topic) => Stream.suspend(() => Stream.fromIterable(topics.get(topic)?.contents ?? []))
      })

      return Context.make(MessagePublisher, publisher).pipe(
        Context.add(MessageConsumer, consumer),
        Context.add(TopicReader, reader)
      )
    })
  )
