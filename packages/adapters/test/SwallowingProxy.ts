/** Stands between a client and a server, and can leave connections half open: taken, and silent from then on. */
import { createServer, connect as dial, type Socket } from "node:net"
import { Effect } from "effect"

export interface SwallowingProxy {
  readonly port: number
  /** Connections that it has taken. */
  readonly taken: () => number
  /** From now on nothing comes through: not on what is connected, nor on what will be until it heals. */
  readonly swallow: () => void
  /** New connections work again; those that were there stay silent. */
  readonly heal: () => void
}

/** In front of a port of this machine, while the scope lasts. */
export const make = (target: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly close: () => void } & SwallowingProxy>((resume) => {
        const sockets = new Set<Socket>()
        let taken = 0
        let healthy = true
        const server = createServer((client) => {
          taken++
          sockets.add(client)
          client.on("error", () => undefined)
          if (!healthy) return
          const upstream = dial(target, "127.0.0.1")
          sockets.add(upstream)
          upstream.on("error", () => client.destroy())
          client.pipe(upstream).pipe(client)
        })
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          resume(
            Effect.succeed({
              port: typeof address === "object" && address !== null ? address.port : 0,
              taken: () => taken,
              swallow: () => {
                healthy = false
                for (const socket of sockets) socket.unpipe().resume()
              },
              heal: () => {
                healthy = true
              },
              close: () => {
                for (const socket of sockets) socket.destroy()
                server.close()
              }
            })
          )
        })
      }),
      (proxy) => Effect.sync(proxy.close)
    ),
    (proxy): SwallowingProxy => proxy
  )
