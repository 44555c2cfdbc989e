/** Who sent a request, kept from the check at the door until the request is handled. */
import type { IncomingMessage } from "node:http"

const names = new WeakMap<IncomingMessage, string>()

export const set = (request: IncomingMessage, name: string): void => void names.set(request, name)

/** Undefined when nobody has to prove who they are. */
export const get = (request: IncomingMessage): string | undefined => names.get(request)
