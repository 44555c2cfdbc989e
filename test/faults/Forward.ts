/**
 * One address that forwards to a server. It can switch to another one, as a failover does, or make connections half
 * open.
 */
import { createServer, connect as dial, type Server, type Socket } from "node:net"

interface Link {
  readonly client: Socket
  readonly server: Socket
  /** Nothing passes any more, and neither end gets an error. */
  dead: boolean
}

export class Forward {
  readonly port: number
  private readonly server: Server
  private readonly links = new Set<Link>()
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

  /** Closes all connections; new ones go to `target`. */
  to(target: number): void {
    this.target = target
    this.cut()
  }

  /** Makes the open connections half open, as a dropped route or a firewall does; answers how many there are. */
  silence(): number {
    let count = 0
    for (const link of this.links) {
      if (!link.dead) count += 1
      link.dead = true
    }
    return count
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.cut()
    await closed
  }

  private cut(): void {
    for (const { client, server } of this.links) {
      client.destroy()
      server.destroy()
    }
    this.links.clear()
  }

  private join(client: Socket, server: Socket): void {
    const link: Link = { client, server, dead: false }
    this.links.add(link)
    for (const [from, to] of [
      [client, server],
      [server, client]
    ] as const) {
      from.setNoDelay(true)
      from.on("data", (chunk) => {
        if (!link.dead) to.write(chunk)
      })
      from.on("error", () => {})
      from.once("close", () => {
        if (link.dead) return
        this.links.delete(link)
        to.destroy()
      })
    }
  }
}
