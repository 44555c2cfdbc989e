/**
 * A proxy between clients and the brokers of a Kafka cluster, with a port of its own for each broker. It decides what
 * happens to each request and each answer. It knows only the frames of Kafka's protocol: four bytes of length, then in
 * a request its kind (`api_key`), version and correlation id, and in an answer the correlation id.
 */
import { createServer, connect as dial, type Server, type Socket } from "node:net"
import { until } from "../programs/Waiting.ts"

/** `api_key` of the Kafka protocol. */
export const apis = { produce: 0, joinGroup: 11, initProducerId: 22 } as const

/** Error codes of the Kafka protocol. */
export const errors = { coordinatorLoadInProgress: 14 } as const

/**
 * `hold` keeps a frame until another rule is set, `cut` drops it and closes the connection, `swallow` only drops it.
 */
export type Fate = "pass" | "hold" | "cut" | "swallow"

/** The broker never gets the request; the client gets this error. */
export interface Refusal {
  readonly error: (typeof errors)[keyof typeof errors]
}

/** What happens to a frame, by its `api_key` and the broker's number, from 1. */
export interface Rule {
  /** Only a JoinGroup can be refused: it is the only kind whose answer the proxy can write. */
  readonly request?: (api: number, broker: number) => Fate | Refusal
  readonly answer?: (api: number, broker: number) => Fate
}

/** An idempotent producer, as the broker knows it. */
export interface ProducerId {
  readonly id: bigint
  readonly epoch: number
}

interface Link {
  /** The broker's number, from 1. */
  readonly number: number
  readonly client: Socket
  readonly broker: Socket
  /** The `api_key` of the client's requests, by correlation id. */
  readonly asked: Map<number, number>
}

const listening = (server: Server): Promise<Server> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => resolve(server))
  })

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

/** JoinGroup's answer with an error and nothing else, in the versions that kafkajs speaks (0 to 5). */
const refusedJoin = (request: Buffer, error: number): Buffer => {
  const throttled = request.readInt16BE(6) >= 2
  // length, correlation id, throttle time, error, generation, protocol, leader, member, members
  const answer = Buffer.alloc(4 + 4 + (throttled ? 4 : 0) + 2 + 4 + 2 + 2 + 2 + 4)
  answer.writeInt32BE(answer.length - 4, 0)
  request.copy(answer, 4, 8, 12)
  answer.writeInt32BE(-1, answer.writeInt16BE(error, throttled ? 12 : 8))
  return answer
}

export class TcpProxy {
  /** One for each broker. */
  readonly ports: ReadonlyArray<number>
  /** The brokers' ports, in the order of `ports`. */
  targets: ReadonlyArray<number> = []
  /** Frames that did not pass, since the rule was set. */
  caught = 0
  /** Answers to Produce requests that went through. */
  acknowledged = 0
  /** The idempotent producers that the brokers have made, newest last. */
  readonly producers: Array<ProducerId> = []
  private readonly servers: ReadonlyArray<Server>
  private readonly links = new Set<Link>()
  private rule: Rule = {}
  private held: Array<() => void> = []
  private impersonated: ProducerId | undefined

  private constructor(servers: ReadonlyArray<Server>) {
    this.servers = servers
    this.ports = servers.map((server) => {
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    })
    for (const [index, server] of servers.entries()) server.on("connection", (client) => this.link(index, client))
  }

  static async listen(brokers: number): Promise<TcpProxy> {
    return new TcpProxy(await Promise.all(Array.from({ length: brokers }, () => listening(createServer()))))
  }

  /** The first broker's port. */
  get port(): number {
    return this.ports[0] ?? 0
  }

  /** host:port of the proxy for every broker, comma separated. */
  get brokers(): string {
    return this.ports.map((port) => `127.0.0.1:${port}`).join(",")
  }

  /** Sets the rule from now on, and passes on what the rule before it has held. */
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
  catches({ seconds = 60 }: { readonly seconds?: number } = {}): Promise<void> {
    return until("the proxy has caught a frame", () => this.caught > 0, { every: 1, seconds })
  }

  /** Gives this producer's id and epoch to the next client that asks for a producer id. */
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
    const closed = Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))))
    this.cut()
    await closed
  }

  private link(index: number, client: Socket): void {
    const broker = dial(this.targets[index] ?? 0, "127.0.0.1")
    const link: Link = { number: index + 1, client, broker, asked: new Map() }
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
        const fate = this.rule.request?.(api, link.number)
        if (typeof fate === "object") {
          this.caught += 1
          client.write(refusedJoin(frame, fate.error))
          return
        }
        link.asked.set(frame.readInt32BE(8), api)
        this.decide(fate, link, () => broker.write(frame))
      })
    )
    broker.on(
      "data",
      splitter((frame) => {
        const correlation = frame.readInt32BE(4)
        const api = link.asked.get(correlation) ?? -1
        link.asked.delete(correlation)
        if (api === apis.initProducerId) this.identify(frame)
        this.decide(this.rule.answer?.(api, link.number), link, () => {
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
