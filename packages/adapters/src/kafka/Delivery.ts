import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"

/** A batch on its way to the subscriber. */
export interface Delivery {
  readonly batch: MessageBatch
  /** False once the batch is acknowledged or given back: acknowledging it does nothing then. */
  readonly isHeld: () => boolean
}
