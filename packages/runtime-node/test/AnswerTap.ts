/** A TCP proxy that can keep what a server answers, for tests of what a client does that never gets an answer. */
import { connect, createServer, type Socket } from "node:net"

export interface AnswerTap {
  readonly port: number
  /** Nothing that the server sends reaches a client any more, from the moment at which a client sends this text. */
  readonly holdFrom: (text: string) => void
  /** What was held back, as text. */
  readonly held: () => string
  /** Closes the port and all connections. */
  readonly close: () => Promise<void>
}

/** @param target the server's port on 127.0.0.1 */
export const listen = async (target: number): Promise<AnswerTap> => {
  const sockets = new Set<Socket>()
  const held: Array<Buffer> = []
  let holding = false
  let trigger: string | undefined
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1")
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      sockets.add(socket)
      // a program that is killed resets its connections
      socket.on("error", () => {})
      socket.on("close", () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    let sent = ""
    client.on("data", (chunk) => {
      sent = sent.slice(-100) + chunk.toString("latin1")
      holding ||= trigger !== undefined && sent.includes(trigger)
      upstream.write(chunk)
    })
    upstream.on("data", (chunk) => {
      if (holding) held.push(chunk)
      else client.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    holdFrom: (text) => {
      trigger = text
    },
    held: () => Buffer.concat(held).toString("utf8"),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }
}
