/** The bearer token that goes with a call (RFC 6750). */
import type { Interceptor } from "@connectrpc/connect"

/** A token, or how to get the one to send now: it is asked for at each call, so that it may be replaced before it expires. */
export type Token = string | (() => string | Promise<string>)

export const withToken =
  (token: Token): Interceptor =>
  (next) =>
  async (request) => {
    request.header.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`)
    return next(request)
  }
