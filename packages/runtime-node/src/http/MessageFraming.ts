/** How many bytes of a stream of messages belong to a message that is not complete yet: what its reader has to keep. */

export interface MessageFraming {
  /** Takes the next bytes, and answers the bytes of the message that is not complete. */
  readonly add: (chunk: Uint8Array) => number
}

/** A flag and the length of the message, as Connect, gRPC and gRPC-Web put before each message of a stream. */
const prefixBytes = 5

const enveloped = (): MessageFraming => {
  let prefix = 0
  let length = 0
  let left = 0
  let held = 0
  const readPrefix = (byte: number): void => {
    length = prefix === 0 ? 0 : length * 256 + byte
    prefix++
    held++
    if (prefix === prefixBytes) {
      prefix = 0
      left = length
      if (left === 0) held = 0
    }
  }
  return {
    add: (chunk) => {
      let at = 0
      while (at < chunk.length) {
        if (left === 0) {
          readPrefix(chunk[at] ?? 0)
          at++
        } else {
          const taken = Math.min(left, chunk.length - at)
          at += taken
          left -= taken
          held = left === 0 ? 0 : held + taken
        }
      }
      return held
    }
  }
}

const newline = 0x0a

const lines = (): MessageFraming => {
  let held = 0
  return {
    add: (chunk) => {
      const end = chunk.lastIndexOf(newline)
      held = end === -1 ? held + chunk.length : chunk.length - 1 - end
      return held
    }
  }
}

/** Envelopes or lines, as the content type says. */
export const of = (contentType: string | undefined): MessageFraming =>
  /^application\/(grpc|connect\+)/iu.test(contentType ?? "") ? enveloped() : lines()
