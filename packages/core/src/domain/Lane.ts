/**
 * Lanes split the outbox so that several relays can work at once. A key's lane is its Kafka hash modulo the number of
 * lanes: when that number divides the number of partitions, no two lanes share a partition.
 */
const multiplier = 0x5bd1e995

declare const TextEncoder: new () => { readonly encode: (text: string) => Uint8Array }
const utf8 = new TextEncoder()

const mix = (hash: number): number => Math.imul(hash ^ (hash >>> 24), multiplier)

/** The hash that Java's producer partitions a key by: murmur2 (Appleby, 32 bits, seed 0x9747b28c), without its sign. */
export const hash = (key: string): number => {
  const bytes = utf8.encode(key)
  const { length } = bytes
  let state = 0x9747b28c ^ length
  const tail = length - (length % 4)
  for (let index = 0; index < tail; index += 4) {
    const word =
      (bytes[index] ?? 0) |
      ((bytes[index + 1] ?? 0) << 8) |
      ((bytes[index + 2] ?? 0) << 16) |
      ((bytes[index + 3] ?? 0) << 24)
    state = Math.imul(state, multiplier) ^ mix(Math.imul(word, multiplier))
  }
  if (tail < length) {
    for (let index = length - 1; index >= tail; index--) {
      state ^= (bytes[index] ?? 0) << (8 * (index - tail))
    }
    state = Math.imul(state, multiplier)
  }
  state = Math.imul(state ^ (state >>> 13), multiplier)
  return (state ^ (state >>> 15)) & 0x7fffffff
}

/** The lane of a key, 0 to `lanes` − 1. */
export const of = (key: string, lanes: number): number => hash(key) % lanes
