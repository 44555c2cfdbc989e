import type { Duration } from "effect"
import type { TopicOptions } from "./Topics.ts"

/** Consumer options that hold for every Kafka client. */
export interface ConsumerOptions extends TopicOptions {
  /** How many partitions a subscription hands out at once, not counting those that are set aside; default 3. */
  readonly concurrency?: number
  /**
   * After this long a partition whose batch is still in hand is set aside (paused), so that it does not hold up the
   * broker's other partitions. Once it is resumed, its next fetch waits for a fetch under way, up to `maxWait`. Default
   * 100 ms.
   */
  readonly setAsideAfter?: Duration.Input
  /** Maximum number of messages in a batch; default 500. */
  readonly maxBatch?: number
  /** How long a fetch waits at the broker for messages; also delays the end of a subscription. Default 100 ms. */
  readonly maxWait?: Duration.Input
  /** How often acknowledged offsets are committed; default 500 ms. */
  readonly commitInterval?: Duration.Input
  /** After this long without a heartbeat the group goes on without this consumer; default 10 s. */
  readonly sessionTimeout?: Duration.Input
  /**
   * How often heartbeats are sent, and so how soon a rebalance is noticed. Below a third of the session timeout;
   * default 1 s.
   */
  readonly heartbeatInterval?: Duration.Input
  /** How long a rebalance waits for batches in hand, and the end of a subscription for requests; default 10 s. */
  readonly drainTimeout?: Duration.Input
}

/** Options with defaults for the times from which others are derived. */
export interface Resolved extends ConsumerOptions {
  readonly sessionTimeout: Duration.Input
  readonly heartbeatInterval: Duration.Input
  readonly drainTimeout: Duration.Input
}

export const defaults = {
  sessionTimeout: "10 seconds",
  heartbeatInterval: "1 second",
  drainTimeout: "10 seconds"
} as const

export const resolve = (options: ConsumerOptions): Resolved => ({
  ...options,
  sessionTimeout: options.sessionTimeout ?? defaults.sessionTimeout,
  heartbeatInterval: options.heartbeatInterval ?? defaults.heartbeatInterval,
  drainTimeout: options.drainTimeout ?? defaults.drainTimeout
})
