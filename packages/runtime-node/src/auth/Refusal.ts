/** Why a request is refused: a closed set, whose names are the labels of the metric and whose words a client reads. */

interface Kind {
  readonly status: 401 | 403 | 404 | 405 | 429 | 503
  /** The error of the `WWW-Authenticate` header (RFC 6750, 3.1); a request without a token gets none. */
  readonly error?: "invalid_request" | "invalid_token" | "insufficient_scope"
  readonly detail: string
}

const invalid = (detail: string): Kind => ({ status: 401, error: "invalid_token", detail })

const kinds = {
  missing: { status: 401, detail: "this needs a token: send it as Authorization: Bearer" },
  header: {
    status: 401,
    error: "invalid_request",
    detail: "the request must have one Authorization header, of the form Bearer and a token"
  },
  too_long: invalid("the token is longer than 8192 characters"),
  malformed: invalid("the token is not a signed JSON Web Token"),
  algorithm: invalid("the token's algorithm is not accepted"),
  key: invalid("the token's key is not known"),
  signature: invalid("the token's signature is wrong"),
  expired: invalid("the token has expired"),
  not_yet_valid: invalid("the token is not valid yet"),
  issuer: invalid("the token's issuer is not accepted"),
  audience: invalid("the token is for another audience"),
  claims: invalid("the token lacks a usable expiry or subject"),
  scope: { status: 403, error: "insufficient_scope", detail: "the token's scopes don't allow this" },
  not_found: { status: 404, detail: "there is nothing at this path" },
  method: { status: 405, detail: "this path has other methods: see Allow" },
  rate: { status: 429, detail: "too many requests: see Retry-After" },
  quota: { status: 429, detail: "the day's quota is used up: see Retry-After" },
  keys_unavailable: { status: 503, detail: "the token can't be checked at the moment, try again later" }
} as const satisfies Record<string, Kind>

export type Reason = keyof typeof kinds

export interface Refusal {
  readonly _tag: "Refusal"
  readonly reason: Reason
  /** Scopes one of which would be enough, separated by spaces. */
  readonly scope?: string
  readonly allow?: string
  readonly retryAfterSeconds?: number
}

export const make = (reason: Reason, rest: Omit<Refusal, "_tag" | "reason"> = {}): Refusal => ({
  _tag: "Refusal",
  reason,
  ...rest
})

export const kindOf = ({ reason }: Refusal): Kind => kinds[reason]

/** The challenge of RFC 6750, section 3; undefined where a token would not help. */
export const challenge = (refusal: Refusal): string | undefined => {
  const { detail, error, status } = kindOf(refusal)
  if (status !== 401 && status !== 403) return undefined
  const parts = ['realm="invoice"']
  if (error !== undefined) parts.push(`error="${error}"`, `error_description="${detail}"`)
  if (refusal.scope !== undefined) parts.push(`scope="${refusal.scope}"`)
  return `Bearer ${parts.join(", ")}`
}
