/** Connect, gRPC and gRPC-Web in front of another listener, which answers every request that is not a call. */
import type { RequestListener } from "node:http"
import { Code, ConnectError, createContextValues } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { Server } from "@invoice/adapters/connect"
import { Effect } from "effect"
import * as RequestPrincipal from "../auth/RequestPrincipal.ts"

export interface Rpc {
  readonly handler: RequestListener
  /** Call it when the server begins to stop: it ends the watches, so that their clients connect to another server. */
  readonly onStop: () => void
}

/** @param fallback answers every request that is not a call */
export const make = <R>(
  routes: (options: Server.Options) => Effect.Effect<Server.Routes, never, R>,
  options: Omit<Server.Options, "stopping">,
  fallback: RequestListener
): Effect.Effect<Rpc, never, R> =>
  Effect.suspend(() => {
    const stopping = new AbortController()
    return Effect.map(routes({ ...options, stopping: stopping.signal }), (routes): Rpc => {
      const calls = connectNodeAdapter({
        routes,
        fallback: fallback as never,
        contextValues: (request) => createContextValues().set(Server.principal, RequestPrincipal.get(request))
      }) as RequestListener
      return {
        handler: (request, response) => {
          try {
            calls(request, response)
          } catch {
            // connect throws when it can't read the URL or the host of a request
            response.writeHead(400, { "content-type": "text/plain" }).end("the host or the path can't be read\n")
          }
        },
        onStop: () => stopping.abort(new ConnectError("the server is stopping, call again", Code.Unavailable))
      }
    })
  })
