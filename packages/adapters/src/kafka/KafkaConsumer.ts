/**
 * `MessageConsumer` over Kafka. A partition's next batch comes when the one before is acknowledged. Acknowledged
 * offsets are committed on a timer, at a rebalance and at the end, so of the acknowledged messages a crash brings back
 * at most those of the last {@link Options.commitInterval}.
 */
import { ConsumerUnavailable } from "@invoice/core/InvoiceError"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { Effect, Layer, Schedule, Stream } from "effect"
import { type Connection, make, millis } from "./Client.ts"
import * as ConsumerOptions from "./ConsumerOptions.ts"
import type { Delivery } from "./Delivery.ts"
import { session } from "./GroupSession.ts"
import type { KafkaClient } from "./KafkaClient.ts"

/** A request times out no earlier than 5 s after the session timeout, even if `requestTimeout` is shorter. */
export interface Options extends Connection, ConsumerOptions.ConsumerOptions {}

/**
 * The answer to SyncGroup waits for the group's leader; if the leader is dead, it waits until the leader's session
 * times out. A member that gives up earlier leaves the group and joins it again, and then all members wait for a whole
 * session again.
 */
const connectionOf = ({
  requestTimeout = "10 seconds",
  sessionTimeout = ConsumerOptions.defaults.sessionTimeout,
  ...options
}: Options): Connection => ({
  ...options,
  requestTimeout: Math.max(millis(requestTimeout), millis(sessionTimeout) + 5_000)
})

const backOff = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])

/**
 * Creates a topic that is missing. Joins again, with new connections, when a join failed, when a request is not
 * answered in time, and in any case when nothing was fetched for 65 s (with the default timeouts).
 */
export const layer = (options: Options): Layer.Layer<MessageConsumer> =>
  Layer.effect(
    MessageConsumer,
    Effect.map(make(connectionOf(options)), (kafka) => consuming(kafka, options))
  )

/** The same over an existing client, or a model of one. */
export const consumerOver = (
  kafka: KafkaClient,
  options: ConsumerOptions.ConsumerOptions = {}
): Layer.Layer<MessageConsumer> => Layer.succeed(MessageConsumer, consuming(kafka, options))

const consuming = (kafka: KafkaClient, given: ConsumerOptions.ConsumerOptions): MessageConsumer["Service"] => {
  const options = ConsumerOptions.resolve(given)
  return MessageConsumer.of({
    subscribe: (subscription) =>
      Stream.callback<Delivery, ConsumerUnavailable>((queue) =>
        session(kafka, subscription, options, queue).pipe(
          Effect.tapError((failure) =>
            Effect.logWarning("the subscription is interrupted", failure.message).pipe(
              Effect.annotateLogs({ topic: subscription.topic, group: subscription.group })
            )
          ),
          Effect.retry({ schedule: backOff, while: (failure) => !failure.impossible }),
          Effect.mapError((cause) => new ConsumerUnavailable({ cause }))
        )
      ).pipe(
        // a batch may have been given back before the subscriber took it
        Stream.filter((delivery) => delivery.isHeld()),
        Stream.map((delivery) => delivery.batch)
      )
  })
}
