/** Who a valid token speaks for, and what it allows. */
import type { JWTPayload } from "jose"
import * as AccessScope from "./AccessScope.ts"

export interface Identity {
  /** The name of the principal, 1 to 255 characters, all of them printable. */
  readonly name: string
  readonly scopes: AccessScope.ScopeSet
  /** Until when the token is accepted, clock skew included, in milliseconds since 1970. */
  readonly expiresAt: number
}

/** No control characters, no surrogates alone, nothing invisible: the name is shown in histories. */
const usable = /^[^\p{C}\p{Zl}\p{Zp}]{1,255}$/u

export const isName = (value: unknown): value is string => typeof value === "string" && usable.test(value)

/**
 * `sub`, or the client that a token without a subject was issued to: `client_id` (RFC 9068, 2.2), then `azp` (OpenID
 * Connect Core, 2). A subject that can't be used is no reason to look further. It is refused, and not cleaned: two
 * subjects must never become one principal.
 */
const nameOf = ({ azp, client_id: clientId, sub }: JWTPayload): unknown => sub ?? clientId ?? azp

const words = (claim: unknown): ReadonlyArray<unknown> =>
  typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : []

/** `scope` is a text with spaces (RFC 8693, 4.2); some issuers call it `scp` and write a list. */
const scopesOf = ({ scope, scp }: JWTPayload): AccessScope.ScopeSet =>
  AccessScope.fromNames([...words(scope), ...words(scp)])

/** Undefined when the token names nobody, or has no usable expiry. */
export const fromClaims = (claims: JWTPayload, skewSeconds: number): Identity | undefined => {
  const name = nameOf(claims)
  const { exp } = claims
  return isName(name) && exp !== undefined && Number.isFinite(exp)
    ? { name, scopes: scopesOf(claims), expiresAt: (exp + skewSeconds) * 1000 }
    : undefined
}
