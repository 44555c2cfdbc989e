/**
 * The port that reads a topic from outside, without a group and without acknowledgements, so no consumer is disturbed.
 *
 * Adapters prove themselves with `MessagingContract` of `@invoice/testing`.
 */
import { Context, type Stream } from "effect"
import type { ConsumerUnavailable } from "../domain/InvoiceError.ts"
import type { Located } from "../domain/Message.ts"

export class TopicReader extends Context.Service<
  TopicReader,
  {
    /**
     * Everything that the topic holds when the reading begins, in order within a partition; then it ends. A topic that
     * doesn't exist holds nothing.
     */
    readonly read: (topic: string) => Stream.Stream<Located, ConsumerUnavailable>
  }
>()("@invoice/core/ports/TopicReader") {}
