/**
 * A message that can't be read is its sender's fault: INVALID_ARGUMENT. Connect says INTERNAL of malformed protobuf in a
 * body and of malformed base64 in a GET, as if the server had failed.
 */
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect"

/** A router that adds the gate to every method. */
export const gated = (router: ConnectRouter): ConnectRouter => ({
  ...router,
  service: (service, implementation, options) => {
    router.service(service, implementation, { requestGate: gate, ...options })
    return router
  },
  rpc: (method, implementation, options) => {
    router.rpc(method, implementation, { requestGate: gate, ...options })
    return router
  }
})

/** Connect calls a gate before it reads a message. */
const gate = (context: HandlerContext): void => {
  if (context.requestMethod === "GET") checkBase64(new URL(context.url).searchParams)
  // Connect aborts a call with what ends it before it turns that into an answer, whatever the protocol
  context.signal.addEventListener("abort", () => blameSender(context.signal.reason), { once: true })
}

/** Base64 in the alphabet of URLs or the common one, with or without its padding (RFC 4648). */
const base64 = /^(?:[\w+/-]{4})*(?:[\w+/-]{2}(?:==)?|[\w+/-]{3}=?)?$/u

const checkBase64 = (query: URLSearchParams): void => {
  // a plus sign means a space in a query
  if (query.get("base64") === "1" && !base64.test((query.get("message") ?? "").replaceAll(" ", "+"))) {
    throw new ConnectError("the message in the URL is not base64", Code.InvalidArgument)
  }
}

/** The only place where Connect says that it parses is the beginning of the error's text. */
const blameSender = (reason: unknown): void => {
  if (reason instanceof ConnectError && reason.code === Code.Internal && reason.rawMessage.startsWith("parse binary")) {
    Object.assign(reason, { code: Code.InvalidArgument })
  }
}
