/** A connection of HTTP/2 that sends whatever it is told to, and counts what comes back. */
import { connect, type Socket } from "node:net"
import * as Frames from "./Http2Frames.ts"

export interface RawOptions {
  readonly settings?: ReadonlyArray<readonly [number, number]>
  /** Whether to never read what the server sends. */
  readonly deaf?: boolean
}

const names = new Map(Object.entries(Frames.types).map(([name, type]) => [type as number, name]))

export class RawHttp2 {
  /** Frames that came, by type. */
  readonly received = new Map<string, number>()
  /** Codes of the RST_STREAM and GOAWAY frames that came. */
  readonly endings: Array<string> = []
  /** Bytes of DATA that came. */
  dataBytes = 0
  /** When it was opened and closed, in milliseconds; the second undefined while it is open. */
  readonly openedAt = performance.now()
  closedAt: number | undefined
  private readonly socket: Socket
  private nextStream = 1
  private rest: Buffer = Buffer.alloc(0)

  private constructor(socket: Socket, { deaf = false, settings = [] }: RawOptions) {
    this.socket = socket
    socket.on("error", () => {})
    socket.once("close", () => {
      this.closedAt = performance.now()
    })
    if (!deaf) socket.on("data", (chunk: Buffer) => this.hear(chunk))
    socket.write(Buffer.concat([Frames.preface, Frames.settingsFrame(settings)]))
  }

  static async open(url: string, options: RawOptions = {}): Promise<RawHttp2> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve)
      socket.once("error", reject)
    })
    return new RawHttp2(socket, options)
  }

  get isOpen(): boolean {
    return this.closedAt === undefined
  }

  /** The next free number of a stream. */
  stream(): number {
    const stream = this.nextStream
    this.nextStream += 2
    return stream
  }

  /** Sends bytes, and waits until the system has taken them or the connection is closed. */
  async send(bytes: Uint8Array): Promise<void> {
    if (!this.isOpen || this.socket.write(bytes)) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.socket.off("drain", done)
        this.socket.off("close", done)
        resolve()
      }
      this.socket.on("drain", done)
      this.socket.on("close", done)
    })
  }

  close(): void {
    this.socket.destroy()
  }

  private hear(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk])
    while (this.rest.length >= 9) {
      const length = this.rest.readUIntBE(0, 3)
      if (this.rest.length < 9 + length) return
      this.take(this.rest.readUInt8(3), this.rest.readUInt8(4), this.rest.subarray(9, 9 + length))
      this.rest = this.rest.subarray(9 + length)
    }
  }

  private take(type: number, flag: number, payload: Buffer): void {
    const name = names.get(type) ?? `type ${type}`
    this.received.set(name, (this.received.get(name) ?? 0) + 1)
    if (type === Frames.types.data) this.dataBytes += payload.length
    if (type === Frames.types.reset) this.endings.push(`RST_STREAM ${payload.readUInt32BE(0)}`)
    if (type === Frames.types.goaway) this.endings.push(`GOAWAY ${payload.readUInt32BE(4)}`)
    if (type === Frames.types.settings && (flag & Frames.flags.ack) === 0 && this.isOpen) {
      this.socket.write(Frames.frame(Frames.types.settings, Frames.flags.ack, 0))
    }
  }
}
