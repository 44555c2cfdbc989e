/** One address for a server that moves, as a failover's virtual address or a DNS name is. */
import { createServer, connect as dial, type Server, type Socket } from "node:net"

export class Forward {
  readonly port: number
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private target: number

  private constructor(server: Server, port: number, target: number) {
    this.server = server
    this.port = port
    this.target = target
    server.on("connection", (client) => this.join(client, dial(this.target, "127.0.0.1")))
  }

  static async listen(target: number): Promise<Forward> {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(0, "127.0.0.1", resolve)
    })
    const address = server.address()
    return new Forward(server, typeof address === "object" && address !== null ? address.port : 0, target)
  }

  /** New connections go there; the old ones are cut. */
  to(target: number): void {
    this.target = target
    this.cut()
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.cut()
    await closed
  }

  private cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  private join(client: Socket, server: Socket): void {
    for (const [socket, other] of [
      [client, server],
      [server, client]
    ] as const) {
      this.sockets.add(socket)
      socket.on("error", () => {})
      socket.once("close", () => {
        this.sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  }
}
