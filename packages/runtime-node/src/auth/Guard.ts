/**
 * The check in front of every port, one for REST, Connect, gRPC and gRPC-Web: a token (RFC 6750), the scope that the
 * path needs, and the rate of the principal. What passes carries the principal's name to the handlers.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import * as AccessScope from "./AccessScope.ts"
import * as AccessTable from "./AccessTable.ts"
import type * as Identity from "./Identity.ts"
import * as Refusal from "./Refusal.ts"
import * as RefusalAnswer from "./RefusalAnswer.ts"
import * as RemoteAddress from "./RemoteAddress.ts"
import * as RequestAllowance from "./RequestAllowance.ts"
import * as RequestPrincipal from "./RequestPrincipal.ts"
import type { TokenBuckets } from "./TokenBuckets.ts"
import type { TokenVerifier } from "./TokenVerifier.ts"

export interface Limit {
  readonly reason: "rate" | "quota"
  readonly buckets: TokenBuckets
}

export interface Options {
  /** Undefined when nobody is authenticated. */
  readonly verifier: TokenVerifier | undefined
  readonly limits: ReadonlyArray<Limit>
  readonly onRefused: (reason: Refusal.Reason) => void
  readonly onLimited: (limit: Limit["reason"], by: "principal" | "address") => void
}

const isRefusal = (value: object): value is Refusal.Refusal => "_tag" in value && value._tag === "Refusal"

const isListed = (access: AccessTable.Access | AccessTable.Unlisted): access is AccessTable.Access =>
  typeof access === "object" && "open" in access

const pathOf = (url: string): string => {
  const query = url.indexOf("?")
  return query === -1 ? url : url.slice(0, query)
}

/** How often a request has the header: Node.js shows only the first. */
const countOf = ({ rawHeaders }: IncomingMessage, name: string): number => {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index]
    if (header?.length === name.length && header.toLowerCase() === name) count++
  }
  return count
}

/** The scheme, in any case (RFC 9110, 11.1), and one space. */
const scheme = "bearer "

const tokenOf = (request: IncomingMessage): string | Refusal.Refusal => {
  const { authorization } = request.headers
  if (authorization === undefined) return Refusal.make("missing")
  if (countOf(request, "authorization") > 1) return Refusal.make("header")
  return authorization.slice(0, scheme.length).toLowerCase() === scheme
    ? authorization.slice(scheme.length)
    : Refusal.make("header")
}

/** The scope that opens the path for an outsider: the first, since any one is enough. */
const neededFor = ({ scopes }: AccessTable.Access): string => AccessScope.namesOf(scopes)[0] ?? ""

/** Why this identity may not do this, undefined when it may. */
const denied = (
  access: AccessTable.Access | AccessTable.Unlisted,
  { scopes }: Identity.Identity
): Refusal.Refusal | undefined => {
  if (access === "NotFound") return Refusal.make("not_found")
  if (!isListed(access)) return Refusal.make("method", { allow: access.join(", ") })
  return access.scopes === AccessScope.none || AccessScope.overlap(access.scopes, scopes)
    ? undefined
    : Refusal.make("scope", { scope: neededFor(access) })
}

const exceeded = (
  { limits, onLimited }: Options,
  name: string,
  by: "principal" | "address"
): Refusal.Refusal | undefined => {
  for (const { buckets, reason } of limits) {
    const wait = buckets.take(name)
    if (wait > 0) {
      onLimited(reason, by)
      return Refusal.make(reason, { retryAfterSeconds: Math.ceil(wait / 1000) })
    }
  }
  return undefined
}

/** Lets a handler count more than the request, where there are limits. */
const allow = ({ limits }: Options, request: IncomingMessage, name: string): void => {
  if (limits.length === 0) return
  RequestAllowance.set(request, () => limits.reduce((wait, { buckets }) => Math.max(wait, buckets.charge(name)), 0))
}

type Decide = (
  request: IncomingMessage,
  access: AccessTable.Access | AccessTable.Unlisted
) => Refusal.Refusal | undefined | Promise<Refusal.Refusal | undefined>

/** Nobody is authenticated: only rates are limited, by address. */
const decideByAddress =
  (options: Options): Decide =>
  (request) => {
    const name = RemoteAddress.nameOf(request.socket.remoteAddress ?? "")
    allow(options, request, name)
    return exceeded(options, name, "address")
  }

const decideByToken =
  (options: Options, verifier: TokenVerifier): Decide =>
  (request, access) => {
    const token = tokenOf(request)
    if (typeof token !== "string") return token
    const admit = (found: Identity.Identity | Refusal.Refusal): Refusal.Refusal | undefined => {
      if (isRefusal(found)) return found
      const refusal = denied(access, found)
      if (refusal !== undefined) return refusal
      RequestPrincipal.set(request, found.name)
      // our own programs act for many principals, whose rates the api has limited
      if (AccessScope.isInternal(found.scopes)) return undefined
      allow(options, request, found.name)
      return exceeded(options, found.name, "principal")
    }
    const found = verifier.verify(token)
    return found instanceof Promise ? found.then(admit) : admit(found)
  }

/** How long a client waits when the keys can't be fetched: until the next fetch may be tried. */
const keysRetrySeconds = 30

const refuse = (
  { onRefused }: Options,
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal.Refusal,
  rpc: boolean
): void => {
  const { reason } = refusal
  if (reason !== "rate" && reason !== "quota") onRefused(reason)
  RefusalAnswer.answer(
    request,
    response,
    reason === "keys_unavailable" ? { ...refusal, retryAfterSeconds: keysRetrySeconds } : refusal,
    rpc
  )
}

/** The listener behind the check. */
export const guard = (options: Options, handler: RequestListener): RequestListener => {
  const { limits, verifier } = options
  if (verifier === undefined && limits.length === 0) return handler
  const decide = verifier === undefined ? decideByAddress(options) : decideByToken(options, verifier)
  return (request, response) => {
    const access = AccessTable.find(request.method ?? "", pathOf(request.url ?? ""))
    const listed = isListed(access) ? access : undefined
    if (listed?.open === true) return handler(request, response)
    const proceed = (refusal: Refusal.Refusal | undefined): void =>
      refusal === undefined
        ? handler(request, response)
        : refuse(options, request, response, refusal, listed?.rpc === true)
    const decision = decide(request, access)
    if (!(decision instanceof Promise)) return proceed(decision)
    void decision.then((refusal) => {
      // the client may have left meanwhile
      if (!(request.aborted || response.destroyed)) proceed(refusal)
    })
  }
}
