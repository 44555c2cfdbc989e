/** Who sent a request, kept with it from its authentication until it is handled. */
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"

// on the request itself: a WeakMap with a short-lived key for each request is work for the garbage collector
const principal = Symbol("principal")

type Request = (IncomingMessage | Http2ServerRequest) & { [principal]?: string }

export const set = (request: Request, name: string): void => {
  request[principal] = name
}

/** Undefined when nobody has to prove who they are. */
export const get = (request: Request): string | undefined => request[principal]
