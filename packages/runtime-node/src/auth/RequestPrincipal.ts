/** Who sent a request, kept from the check at the door until the request is handled. */
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"

type Request = IncomingMessage | Http2ServerRequest

const names = new WeakMap<Request, string>()

export const set = (request: Request, name: string): void => void names.set(request, name)

/** Undefined when nobody has to prove who they are. */
export const get = (request: Request): string | undefined => names.get(request)
