/**
 * Inflates bodies within bounds: not more bytes than a body may have, and not many times more than were sent. Otherwise a
 * kilobyte from a client would cost us a megabyte to inflate and to parse, a thousand times what it cost to send.
 */
import { promisify } from "node:util"
import { brotliDecompress, gunzip } from "node:zlib"
import { Code, ConnectError } from "@connectrpc/connect"
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node"
import { LimitMetrics } from "@invoice/core"
import { Predicate } from "effect"

/** How many times its size a body may inflate to. Invoices as JSON inflate to five to fifteen times their size. */
export const maxRatio = 20

/** What any body may inflate to, in bytes: so little costs nothing, and a short text of spaces is no attack. */
const freeBytes = 65_536

type Compression = typeof compressionGzip

const inflateGzip = promisify(gunzip)
const inflateBrotli = promisify(brotliDecompress)

/** The inflated body would be too large; `ratio` says by which limit. */
export class TooInflated extends Error {
  override readonly name = "TooInflated"
  readonly ratio: boolean
  constructor(ratio: boolean) {
    super(ratio ? `the body inflates to more than ${maxRatio} times its size` : "the inflated body is too large")
    this.ratio = ratio
  }
}

const within =
  (inflate: typeof inflateGzip | typeof inflateBrotli) =>
  async (bytes: Uint8Array, maxBytes: number): Promise<Buffer> => {
    const byRatio = Math.max(freeBytes, bytes.length * maxRatio)
    try {
      return await inflate(bytes, { maxOutputLength: Math.min(byRatio, maxBytes) })
    } catch (error) {
      if (!Predicate.hasProperty(error, "code") || error.code !== "ERR_BUFFER_TOO_LARGE") throw error
      LimitMetrics.reached("inflation")
      throw new TooInflated(byRatio < maxBytes)
    }
  }

/** The bytes of a gzip. Rejects with `TooInflated` at a limit, and with an error of zlib for what is not gzip. */
export const gunzipped: (bytes: Uint8Array, maxBytes: number) => Promise<Buffer> = within(inflateGzip)

const bounded = ({ compress, name }: Compression, inflate: typeof gunzipped): Compression => ({
  name,
  compress,
  decompress: async (bytes, readMaxBytes) => {
    try {
      // a copy, since Connect wants a buffer that is not shared
      return bytes.length === 0 ? new Uint8Array() : new Uint8Array(await inflate(bytes, readMaxBytes))
    } catch (error) {
      throw error instanceof TooInflated
        ? new ConnectError(error.message, Code.ResourceExhausted)
        : new ConnectError(`the message is not ${name}, as its encoding says`, Code.InvalidArgument)
    }
  }
})

/** The compressions of Connect and gRPC within the same bounds. A body that is not compressed is its client's fault, not ours. */
export const compressions: ReadonlyArray<Compression> = [
  bounded(compressionGzip, gunzipped),
  bounded(compressionBrotli, within(inflateBrotli))
]
