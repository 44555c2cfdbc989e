/**
 * Stands between a client and a Kafka broker and decides the fate of each request and each answer. It knows only the
 * frames of Kafka's protocol: four bytes of length, then in a request its kind (`api_key`), version and correlation id,
 * and in an answer the correlation id.
 */
import { createServer, connect as dial, type Server, type Socket } from "node:net"
import { until } from "./Waiting.ts"

/** `api_key` of the Kafka protocol. */
export const apis = { produce: 0, initProducerId: 22 } as const

/** `hold` keeps a frame until the proxy is told to pass again; `cut` drops it and closes the connection. */
export type Fate = "pass" | "hold" | "cut" | "swallow"

export interface Rule {
  readonly request?: (api: number) => Fate
  readonly answer?: (api: number) => Fate
}

/** An idempotent producer, as the broker knows it. */
export interface ProducerId {
  readonly id: bigint
  readonly epoch: number
}

interface Link {
  readonly client: Socket
  readonly broker: Socket
  /** What the client asked, by correlation id. */
  readonly asked: Map<number, number>
}

const splitter = (take: (frame: Buffer) => void): ((chunk: Buffer) => void) => {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 4) {
      const end = 4 + rest.readInt32BE(0)
      if (rest.length < end) return
      take(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}

export class TcpProxy {
  readonly port: number
  /** Where connections go. */
  target = 0
  /** Frames that did not pass, since the rule was made. */
  caught = 0
  /** Answers to Produce that went through. */
  acknowledged = 0
  /** The idempotent producers that the broker has made, newest last. */
  readonly producers: Array<ProducerId> = []
  private readonly server: Server
  private readonly links = new Set<Link>()
  private rule: Rule = {}
  private held: Array<() => void> = []
  private impersonated: ProducerId | undefined

  private constructor(server: Server, port: number) {
    this.server = server
    this.port = port
    server.on("connection", (client) => this.link(client))
  }

  static async listen(): Promise<TcpProxy> {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(0, "127.0.0.1", resolve)
    })
    const address = server.address()
    return new TcpProxy(server, typeof address === "object" && address !== null ? address.port : 0)
  }

  /** From now on. What the rule before held goes on its way. */
  set(rule: Rule): void {
    this.rule = rule
    this.caught = 0
    const { held } = this
    this.held = []
    for (const forward of held) forward()
  }

  pass(): void {
    this.set({})
  }

  /** Waits until the rule has caught a frame. */
  catches(): Promise<void> {
    return until("the proxy has caught a frame", () => this.caught > 0, { every: 1 })
  }

  /** Tells the next client that asks for an identity that it is this producer. */
  impersonate(producer: ProducerId): void {
    this.impersonated = producer
  }

  /** Closes every connection; new ones are taken. */
  cut(): void {
    for (const { broker, client } of this.links) {
      client.destroy()
      broker.destroy()
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.cut()
    await closed
  }

  private link(client: Socket): void {
    const broker = dial(this.target, "127.0.0.1")
    const link: Link = { client, broker, asked: new Map() }
    this.links.add(link)
    client.setNoDelay(true)
    broker.setNoDelay(true)
    const end = () => {
      this.links.delete(link)
      client.destroy()
      broker.destroy()
    }
    for (const socket of [client, broker]) socket.on("error", end).on("close", end)
    client.on(
      "data",
      splitter((frame) => {
        const api = frame.readInt16BE(4)
        link.asked.set(frame.readInt32BE(8), api)
        this.decide(this.rule.request?.(api), link, () => broker.write(frame))
      })
    )
    broker.on(
      "data",
      splitter((frame) => {
        const correlation = frame.readInt32BE(4)
        const api = link.asked.get(correlation) ?? -1
        link.asked.delete(correlation)
        if (api === apis.initProducerId) this.identify(frame)
        this.decide(this.rule.answer?.(api), link, () => {
          if (api === apis.produce) this.acknowledged += 1
          client.write(frame)
        })
      })
    )
  }

  private decide(fate: Fate | undefined, link: Link, forward: () => void): void {
    if (fate === undefined || fate === "pass") {
      forward()
      return
    }
    this.caught += 1
    if (fate === "hold") this.held.push(forward)
    if (fate === "cut") {
      link.client.destroy()
      link.broker.destroy()
    }
  }

  /** InitProducerId's answer, versions 0 and 1: throttle time, error, producer id (at 14), epoch (at 22). */
  private identify(frame: Buffer): void {
    if (this.impersonated !== undefined) {
      frame.writeBigInt64BE(this.impersonated.id, 14)
      frame.writeInt16BE(this.impersonated.epoch, 22)
      this.impersonated = undefined
    } else {
      this.producers.push({ id: frame.readBigInt64BE(14), epoch: frame.readInt16BE(22) })
    }
  }
}
