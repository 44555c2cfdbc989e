/** A message of a broker. Header values are texts: a value that isn't UTF-8 is not preserved. */
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
  /** A decimal text, as in `MessageBatch`. */
  readonly offset: string
}
