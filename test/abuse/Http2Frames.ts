/** Frames of HTTP/2 (RFC 9113) and headers of HPACK (RFC 7541), written by hand where node:http2 is too well-behaved. */

export const types = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9
} as const

export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const

/** Numbers of settings (RFC 9113, 6.5.2). */
export const settings = { headerTableSize: 1, enablePush: 2, maxConcurrentStreams: 3, initialWindowSize: 4 } as const

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1")

export const frame = (type: number, flag: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer => {
  const bytes = Buffer.alloc(9 + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes.writeUInt8(type, 3)
  bytes.writeUInt8(flag, 4)
  bytes.writeUInt32BE(stream, 5)
  bytes.set(payload, 9)
  return bytes
}

/** A frame whose payload is one number of 32 bits: RST_STREAM, WINDOW_UPDATE. */
export const numbered = (type: number, stream: number, value: number): Buffer => {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(value)
  return frame(type, 0, stream, payload)
}

export const settingsFrame = (some: ReadonlyArray<readonly [number, number]>): Buffer => {
  const payload = Buffer.alloc(6 * some.length)
  for (const [index, [name, value]] of some.entries()) {
    payload.writeUInt16BE(name, 6 * index)
    payload.writeUInt32BE(value, 6 * index + 2)
  }
  return frame(types.settings, 0, 0, payload)
}

/** A number with a prefix of 7 bits (RFC 7541, 5.1). */
const length7 = (value: number): Buffer => {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([length7(bytes.length), bytes])
}

/** A header as a literal without indexing and without Huffman's code (RFC 7541, 6.2.2). */
export const header = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0]), text(name), text(value)])

/** A header that the peer must keep in its table, where index 62 then means it (RFC 7541, 6.2.1). */
export const indexedHeader = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0x40]), text(name), text(value)])

/** The headers of a call. */
export const callHeaders = (path: string): Buffer =>
  Buffer.concat(
    [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", "localhost"],
      ["content-type", "application/grpc"],
      ["te", "trailers"]
    ].map(([name = "", value = ""]) => header(name, value))
  )
