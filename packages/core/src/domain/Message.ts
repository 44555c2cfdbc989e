/** What a broker carries. Headers are texts: what is no UTF-8 in a header is not ours to read. */
export interface Message {
  readonly topic: string
  /** Undefined for messages written by the reference, which has no keys. */
  readonly key: string | undefined
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

/** A message and its place in its topic. */
export interface Located {
  readonly message: Message
  readonly partition: number
  /** As in `MessageBatch`. */
  readonly offset: string
}
