/** What the laws of `MessagingContract` are made of. */
import type { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import type { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import type { TopicReader } from "@invoice/core/ports/TopicReader"
import type * as Contract from "./Contract.ts"

/** What an adapter claims beyond the laws that hold for all of them. */
export interface Features {
  /** Messages and acknowledgements outlive the layer. */
  readonly durable: boolean
  /** Several instances of the layer, in whatever processes, see the same topics and groups. */
  readonly multiProcess: boolean
  /**
   * A partition that changes hands while nothing fails brings nothing twice. A broker that promises at least once
   * need not claim it: a member that is slow to hear of a rebalance makes it send again.
   */
  readonly handedOverOnce: boolean
  /** `publish` resolves only when the groups that are there have acknowledged. */
  readonly handledBeforePublished: boolean
  /** There are records that the broker will never take, as `Options.refusable` shows. */
  readonly refuses: boolean
}

export type Ports = MessagePublisher | MessageConsumer | TopicReader

export type Law = Contract.Law<keyof Features>
export type MakeLaw = Contract.MakeLaw<Ports, keyof Features>
