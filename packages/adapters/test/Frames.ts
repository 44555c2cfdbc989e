/** The requests of a kafkajs client, each of which a test may let through, answer itself, swallow, or end the connection for. */
import { connect, type Socket } from "node:net"
import type { ISocketFactory } from "kafkajs"

/** `api_key` of the Kafka protocol. */
export const apis = { fetch: 1, findCoordinator: 10, joinGroup: 11, heartbeat: 12, syncGroup: 14 } as const

export type Api = keyof typeof apis

/** A number is an error of Kafka's that is answered, by nobody but this. `deaden` swallows all that comes later too. */
export type Fate = "cut" | "deaden" | number

/** Of Fetch 7 to 11, with the error for one partition of a topic without name. */
const fetched = (error: number): Buffer => {
  const body = Buffer.alloc(80)
  body.writeInt32BE(1, 10)
  body.writeInt32BE(1, 16)
  body.writeInt16BE(error, 24)
  return body
}

/** Of the others, which begin with a throttle time and an error; zeros make empty texts and lists. */
const failed = (error: number): Buffer => {
  const body = Buffer.alloc(80)
  body.writeInt16BE(error, 4)
  return body
}

const answer = (request: Buffer, error: number): Buffer => {
  const body = request.readInt16BE(4) === apis.fetch ? fetched(error) : failed(error)
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + body.length, 0)
  request.copy(head, 4, 8, 12)
  return Buffer.concat([head, body])
}

export class Frames {
  /** How many requests did not pass. */
  caught = 0
  private readonly fates: Array<{ readonly api: number; readonly fate: Fate }> = []

  /** What happens to the next request of a kind, once. */
  next(api: Api, fate: Fate): void {
    this.fates.push({ api: apis[api], fate })
  }

  readonly socketFactory: ISocketFactory = ({ host, onConnect, port }) => {
    const socket = connect({ host, port }, onConnect)
    const pass = socket.write.bind(socket)
    let isDead = false
    // kafkajs writes one request at a time
    const write = (request: Buffer): boolean => {
      const fate = isDead ? "deaden" : this.fateOf(request.readInt16BE(4))
      if (fate === undefined) return pass(request)
      this.caught++
      if (fate === "deaden") isDead = true
      else this.meet(socket, request, fate)
      return true
    }
    return Object.assign(socket, { write })
  }

  private meet(socket: Socket, request: Buffer, fate: "cut" | number): void {
    if (fate === "cut") socket.destroy(new Error("cut by a test"))
    else setImmediate(() => socket.emit("data", answer(request, fate)))
  }

  private fateOf(api: number): Fate | undefined {
    const index = this.fates.findIndex((one) => one.api === api)
    return index < 0 ? undefined : this.fates.splice(index, 1)[0]?.fate
  }
}
