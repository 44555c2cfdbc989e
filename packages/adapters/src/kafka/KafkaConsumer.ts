/**
 * `MessageConsumer` over Kafka. A partition's next batch comes when the one before is acknowledged; offsets of what is
 * acknowledged are committed on a timer, at a rebalance and at the end, so a crash brings back at most what was
 * acknowledged in the last {@link Options.commitInterval}.
 */
import { ConsumerUnavailable } from "@invoice/core/InvoiceError"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { type Duration, Effect, Layer, Schedule, Stream } from "effect"
import { type Connection, make, millis } from "./Client.ts"
import type { Delivery } from "./GroupMember.ts"
import { session } from "./GroupSession.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import type { TopicOptions } from "./Topics.ts"

/** What holds for whatever client the messages come through. */
export interface ConsumerOptions extends TopicOptions {
  /** Partitions handed out at once for each subscription, beside those set aside; 3 unless told. */
  readonly concurrency?: number
  /**
   * After this long a partition whose batch is still in hand is set aside, so that it does not hold up the broker's
   * other partitions. Its next fetch then waits for one that is under way, up to `maxWait`. 100 ms unless told.
   */
  readonly patience?: Duration.Input
  /** Most messages in a batch; 500 unless told. */
  readonly maxBatch?: number
  /** How long a fetch waits at the broker when there is nothing; also delays the end of a subscription. 100 ms unless told. */
  readonly maxWait?: Duration.Input
  /** How often acknowledged offsets are committed; 500 ms unless told. */
  readonly commitInterval?: Duration.Input
  /** After this long without a heartbeat the group goes on without this consumer; 10 s unless told. */
  readonly sessionTimeout?: Duration.Input
  /** Below a third of the session timeout; also how soon a rebalance is noticed. 1 s unless told. */
  readonly heartbeatInterval?: Duration.Input
  /** How long a rebalance and the end of a subscription wait for what is in hand or under way; 10 s unless told. */
  readonly drainTimeout?: Duration.Input
}

/** An answer is awaited for at least 5 s longer than the session timeout, whatever `requestTimeout` is. */
export interface Options extends Connection, ConsumerOptions {}

/** Options with the times told that others are derived from. */
export interface Resolved extends ConsumerOptions {
  readonly sessionTimeout: Duration.Input
  readonly heartbeatInterval: Duration.Input
  readonly drainTimeout: Duration.Input
}

const defaultSessionTimeout = "10 seconds"

/**
 * The answer to SyncGroup waits for the group's leader, and when that is dead until its session times out. A member that
 * gives up before leaves the group and joins it again, and then all wait for a whole session once more.
 */
const connectionOf = ({
  requestTimeout = "10 seconds",
  sessionTimeout = defaultSessionTimeout,
  ...options
}: Options): Connection => ({
  ...options,
  requestTimeout: Math.max(millis(requestTimeout), millis(sessionTimeout) + 5_000)
})

const backOff = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])

/**
 * Creates a topic that is missing, and joins again after any loss of the broker: at once when joining failed, when a request
 * is not answered in time, and whatever it is when nothing was fetched for 65 s (with the default timeouts).
 */
export const layer = (options: Options): Layer.Layer<MessageConsumer> =>
  Layer.effect(
    MessageConsumer,
    Effect.map(make(connectionOf(options)), (kafka) => consuming(kafka, options))
  )

/** The same over a client that is there already, or a model of one. */
export const consumerOver = (kafka: KafkaClient, options: ConsumerOptions = {}): Layer.Layer<MessageConsumer> =>
  Layer.succeed(MessageConsumer, consuming(kafka, options))

const consuming = (kafka: KafkaClient, given: ConsumerOptions): MessageConsumer["Service"] => {
  const options: Resolved = {
    ...given,
    sessionTimeout: given.sessionTimeout ?? defaultSessionTimeout,
    heartbeatInterval: given.heartbeatInterval ?? "1 second",
    drainTimeout: given.drainTimeout ?? "10 seconds"
  }
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
        // given back before anyone took it
        Stream.filter((delivery) => delivery.isHeld()),
        Stream.map((delivery) => delivery.batch)
      )
  })
}
