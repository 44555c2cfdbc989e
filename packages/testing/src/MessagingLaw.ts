/** The types of the laws of `MessagingContract`. */
import type { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import type { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import type { TopicReader } from "@invoice/core/ports/TopicReader"
import type * as Contract from "./Contract.ts"

/** What an adapter claims beyond the laws that hold for all of them. */
export interface Features {
  /** Messages and acknowledgements outlive the layer. */
  readonly durable: boolean
  /** Several instances of the layer, in any processes, see the same topics and groups. */
  readonly multiProcess: boolean
  /**
   * When a partition goes to another consumer and nothing has failed, no message comes twice. A broker that promises at
   * least once need not claim it: it sends again when a member learns late of a rebalance.
   */
  readonly handedOverOnce: boolean
  /** `publish` resolves only when all known groups have acknowledged the messages. */
  readonly handledBeforePublished: boolean
  /** There are records that the broker will never take; `Options.refusable` makes one. */
  readonly refuses: boolean
}

export type Ports = MessagePublisher | MessageConsumer | TopicReader

export type Law = Contract.Law<keyof Features>
export type MakeLaw = Contract.MakeLaw<Ports, keyof Features>
