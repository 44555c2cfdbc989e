/**
 * Keeps the web pages of strangers out while nobody is authenticated: a browser on this machine reaches loopback, and a page
 * that it shows may send requests there.
 *
 * - A page of another origin is refused on every method, unless its origin is allowed (`Origin`, RFC 6454; browsers send it
 *   with every request that a page may read the answer of, and with every POST).
 * - A host name that is not ours is refused: with DNS rebinding a page's own host name leads to this machine, and the page
 *   has our origin then.
 *
 * Pages of allowed origins get the headers of CORS (https://fetch.spec.whatwg.org/#http-cors-protocol).
 */
import type {
  IncomingMessage,
  OutgoingHttpHeader,
  OutgoingHttpHeaders,
  RequestListener,
  ServerResponse
} from "node:http"
import { cors } from "@connectrpc/connect"
import type { Settings } from "../Config.ts"
import { isLoopback } from "../Loopback.ts"
import * as Problem from "./Problem.ts"

export interface OriginPolicy {
  /** Host names that are ours, in lower case and without a port; `any` trusts every name. */
  readonly hosts: ReadonlyArray<string> | "loopback" | "any"
  /** Origins whose pages may send requests and read the answers, such as `https://app.example.com`. */
  readonly origins: ReadonlyArray<string>
  /** Whether the port speaks TLS. */
  readonly tls: boolean
}

/**
 * Beyond this machine every host name is ours unless `ALLOWED_HOSTS` lists them: with `AUTH=off` since everybody may come in,
 * with tokens since a page that was rebound to us has none.
 */
export const of = ({ allowedHosts, allowedOrigins, auth }: Settings, tls: boolean): OriginPolicy => ({
  hosts: allowedHosts.length > 0 ? allowedHosts : auth === "loopback" ? "loopback" : "any",
  origins: allowedOrigins,
  tls
})

const methods = ["GET", "HEAD", ...cors.allowedMethods.filter((method) => method !== "GET"), "OPTIONS"].join(", ")
const requestHeaders = [
  ...cors.allowedHeaders,
  ...["Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer", "Traceparent"]
].join(", ")
const exposedHeaders = [
  ...cors.exposedHeaders,
  ...["ETag", "Link", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate"]
].join(", ")
/** How long a browser may remember what a page may send, in seconds; Chromium takes no more than this. */
const maxAgeSeconds = "7200"

// a name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port (RFC 3986, section 3.2)
const hostPattern = /^(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::\d{1,5})?$/iu

/** The name of a host without its port, in lower case, without brackets; undefined when it can't be read. */
const nameOf = (host: string): string | undefined => {
  const [, name, address] = hostPattern.exec(host) ?? []
  return (name ?? address)?.toLowerCase()
}

/** The hosts that a request names, each once: HTTP/1.0 may name none, and a second one is an attack (RFC 9112, 3.2; RFC 9113, 8.3.1). */
const hostsOf = ({ rawHeaders }: IncomingMessage): ReadonlyArray<string> => {
  const named: Array<string> = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ""
    const isHost = name.length === 4 ? name.toLowerCase() === "host" : name === ":authority"
    const host = rawHeaders[index + 1] ?? ""
    if (isHost && !named.includes(host)) named.push(host)
  }
  return named
}

const isOurs = (hosts: OriginPolicy["hosts"], name: string): boolean =>
  hosts === "any" || (hosts === "loopback" ? isLoopback(name) : hosts.includes(name))

const refuse = (response: ServerResponse, problem: Problem.Problem): void =>
  void response.writeHead(problem.status, { "content-type": Problem.contentType }).end(Problem.toText(problem))

/** Headers of every answer: nothing of ours is a page, is to be framed or cached, or is to be read by another site. */
const secureHeaders = ({ tls }: OriginPolicy): Readonly<Record<string, string>> => ({
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
  ...(tls ? { "strict-transport-security": "max-age=31536000" } : {})
})

/**
 * Adds headers to an answer. With HTTP/1.1 they go with those that the handler writes, since Node.js takes a slower way
 * once a header is set by itself: a fifth of what a small answer costs.
 */
const add = (response: ServerResponse, extra: Readonly<Record<string, string>>): void => {
  if (response.req.httpVersionMajor > 1) {
    for (const [name, value] of Object.entries(extra)) response.setHeader(name, value)
    return
  }
  const writeHead = response.writeHead.bind(response)
  const withExtra = (headers: WrittenHeaders): OutgoingHttpHeaders =>
    isPairs(headers) ? { ...extra, ...fromPairs(headers) } : { ...extra, ...headers }
  // a message may be undefined with the headers after it, as Effect calls it
  response.writeHead = (status: number, first?: string | WrittenHeaders, second?: WrittenHeaders) =>
    typeof first === "string"
      ? writeHead(status, first, withExtra(second))
      : writeHead(status, withExtra(second ?? first))
}

/** As `writeHead` takes them: an object, or names and values in turn. */
type WrittenHeaders = OutgoingHttpHeaders | ReadonlyArray<OutgoingHttpHeader> | undefined

const isPairs = (headers: WrittenHeaders): headers is ReadonlyArray<OutgoingHttpHeader> => Array.isArray(headers)

const fromPairs = (pairs: ReadonlyArray<OutgoingHttpHeader>): OutgoingHttpHeaders =>
  Object.fromEntries(pairs.flatMap((name, index) => (index % 2 === 0 ? [[String(name), pairs[index + 1]]] : [])))

/** What the pages of an allowed origin need (CORS). */
const corsHeaders = (origin: string): Readonly<Record<string, string>> => ({
  "access-control-allow-origin": origin,
  "access-control-expose-headers": exposedHeaders,
  "cross-origin-resource-policy": "cross-origin",
  vary: "origin"
})

/** Answers the question that a browser asks before a page's request (a preflight request). */
const answerPreflight = (response: ServerResponse): void =>
  void response
    .writeHead(204, {
      "access-control-allow-methods": methods,
      "access-control-allow-headers": requestHeaders,
      "access-control-max-age": maxAgeSeconds
    })
    .end()

/** Why these hosts are refused, undefined when a request may name them. */
const hostProblem = (policy: OriginPolicy, hosts: ReadonlyArray<string>): Problem.Problem | undefined => {
  const names = hosts.map(nameOf)
  if (hosts.length > 1 || names.includes(undefined)) {
    return Problem.badRequest("the request must name one host")
  }
  // none: HTTP/1.0, which no browser speaks
  return names.every((name) => isOurs(policy.hosts, name ?? ""))
    ? undefined
    : Problem.forbidden("this host name is not served here: see ALLOWED_HOSTS")
}

/** The listener behind the policy. */
export const guard = (policy: OriginPolicy, handler: RequestListener): RequestListener => {
  const secure = secureHeaders(policy)
  const own = policy.tls ? "https://" : "http://"
  // the last host that came in: nearly all requests name the same one
  let known: string | undefined
  return (request, response) => {
    const hosts = hostsOf(request)
    const [host] = hosts
    const { origin } = request.headers
    const isForeign = origin !== undefined && origin !== own + host
    const isAllowed = isForeign && policy.origins.includes(origin)
    const problem =
      (hosts.length === 1 && host === known ? undefined : hostProblem(policy, hosts)) ??
      (isForeign && !isAllowed
        ? Problem.forbidden("pages of another origin are refused: see ALLOWED_ORIGINS")
        : undefined)
    add(response, isAllowed && problem === undefined ? { ...secure, ...corsHeaders(origin) } : secure)
    if (problem !== undefined) return refuse(response, problem)
    known = host
    const isPreflight = isAllowed && request.method === "OPTIONS" && "access-control-request-method" in request.headers
    return isPreflight ? answerPreflight(response) : handler(request, response)
  }
}
