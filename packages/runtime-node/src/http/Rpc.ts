/** Connect, gRPC and gRPC-Web in front of another listener: one of them answers what is a call, the other the rest. */
import type { RequestListener } from "node:http"
import { Code, ConnectError } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import type { Server } from "@invoice/adapters/connect"
import { Effect } from "effect"

export interface Rpc {
  readonly handler: RequestListener
  /** To call when the server begins to stop: ends the watches, so that their clients come back elsewhere. */
  readonly onStop: () => void
}

/** @param fallback answers what is no call */
export const make = <R>(
  routes: (options: Server.Options) => Effect.Effect<Server.Routes, never, R>,
  options: Omit<Server.Options, "stopping">,
  fallback: RequestListener
): Effect.Effect<Rpc, never, R> =>
  Effect.suspend(() => {
    const stopping = new AbortController()
    return Effect.map(routes({ ...options, stopping: stopping.signal }), (routes): Rpc => {
      const calls = connectNodeAdapter({ routes, fallback: fallback as never }) as RequestListener
      return {
        handler: (request, response) => {
          try {
            calls(request, response)
          } catch {
            // the URL or the host of the request can't be read, and connect throws that at whoever listens
            response.writeHead(400, { "content-type": "text/plain" }).end("the host or the path can't be read\n")
          }
        },
        onStop: () => stopping.abort(new ConnectError("the server is stopping, call again", Code.Unavailable))
      }
    })
  })
