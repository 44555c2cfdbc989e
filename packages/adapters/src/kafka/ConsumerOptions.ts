import type { Duration } from "effect"
import type { TopicOptions } from "./Topics.ts"

/** What holds for whatever client the messages come through. */
export interface ConsumerOptions extends TopicOptions {
  /** Partitions handed out at once for each subscription, beside those set aside; default 3. */
  readonly concurrency?: number
  /**
   * After this long a partition whose batch is still in hand is set aside, so that it does not hold up the broker's
   * other partitions. Its next fetch then waits for one that is under way, up to `maxWait`. Default 100 ms.
   */
  readonly setAsideAfter?: Duration.Input
  /** Most messages in a batch; default 500. */
  readonly maxBatch?: number
  /** How long a fetch waits at the broker when there is nothing; default also delays the end of a subscription. 100 ms. */
  readonly maxWait?: Duration.Input
  /** How often acknowledged offsets are committed; default 500 ms. */
  readonly commitInterval?: Duration.Input
  /** After this long without a heartbeat the group goes on without this consumer; default 10 s. */
  readonly sessionTimeout?: Duration.Input
  /** Below a third of the session timeout; default also how soon a rebalance is noticed. 1 s. */
  readonly heartbeatInterval?: Duration.Input
  /** How long a rebalance and the end of a subscription wait for what is in hand or under way; default 10 s. */
  readonly drainTimeout?: Duration.Input
}

/** Options with the times said that others are derived from. */
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
