/** Whether a token is good, by RFC 7519 and the advice of RFC 8725. A token that was found good is known until it expires. */
import { type CryptoKey, errors, type JWTVerifyOptions, jwtVerify } from "jose"
import type { Algorithm } from "./Algorithm.ts"
import * as Identity from "./Identity.ts"
import { KeysUnavailable } from "./JwksEndpoint.ts"
import * as Refusal from "./Refusal.ts"
import { TokenCache } from "./TokenCache.ts"
import * as VerificationKeys from "./VerificationKeys.ts"

/** Most characters of a token. All headers together may have 16 kB. */
export const maxTokenLength = 8_192

export interface Options {
  readonly keys: VerificationKeys.VerificationKeys
  readonly algorithms: ReadonlyArray<Algorithm>
  /** The `iss` that a token must have; undefined accepts any. */
  readonly issuer?: string | undefined
  /** One of these must be among a token's `aud`. */
  readonly audiences: ReadonlyArray<string>
  /** How far the issuer's clock and ours may differ, in seconds. */
  readonly skewSeconds: number
  readonly cache?: TokenCache
}

export interface TokenVerifier {
  /** Answers at once when the token is known. Never rejects. */
  readonly verify: (token: string) => Identity.Identity | Refusal.Refusal | Promise<Identity.Identity | Refusal.Refusal>
  /** Forgets the tokens that were found good: the keys have changed. */
  readonly forget: () => void
}

/** What a bearer token may consist of (RFC 6750, 2.1). */
const characters = /^[\w.~+/-]+=*$/u

const byClaim: Readonly<Record<string, Refusal.Reason>> = { iss: "issuer", aud: "audience", nbf: "not_yet_valid" }

const reasonOf = (error: unknown): Refusal.Reason => {
  if (error instanceof errors.JWTExpired) return "expired"
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.reason === "missing" || error.reason === "check_failed" ? (byClaim[error.claim] ?? "claims") : "claims"
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "algorithm"
  if (error instanceof errors.JWKSNoMatchingKey) return "key"
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature"
  if (error instanceof KeysUnavailable) return "keys_unavailable"
  // a key that the platform can't use, such as one that is too short, is as good as none
  return error instanceof errors.JOSEError ? "malformed" : "key"
}

/** Tries each key that fits, when a token doesn't name its key and several fit. */
const verifyWithAny = async (token: string, candidates: AsyncIterable<CryptoKey>, options: JWTVerifyOptions) => {
  for await (const key of candidates) {
    try {
      return await jwtVerify(token, key, options)
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
    }
  }
  throw new errors.JWSSignatureVerificationFailed()
}

export const make = ({ algorithms, audiences, cache, issuer, keys, skewSeconds }: Options): TokenVerifier => {
  const known = cache ?? new TokenCache()
  const checks: JWTVerifyOptions = {
    algorithms: [...algorithms],
    audience: [...audiences],
    clockTolerance: skewSeconds,
    requiredClaims: ["exp"],
    ...(issuer === undefined ? {} : { issuer })
  }
  const claimsOf = async (token: string) => {
    try {
      return await jwtVerify(token, (header) => VerificationKeys.find(keys, header), checks)
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
      return verifyWithAny(token, error, checks)
    }
  }
  // a verification that began before the keys changed must not be remembered after it
  let generation = 0
  const check = async (token: string, key: string): Promise<Identity.Identity | Refusal.Refusal> => {
    const startedIn = generation
    try {
      const identity = Identity.fromClaims((await claimsOf(token)).payload, skewSeconds)
      if (identity === undefined) return Refusal.make("claims")
      if (startedIn === generation) known.set(key, identity)
      return identity
    } catch (error) {
      return Refusal.make(reasonOf(error))
    }
  }
  return {
    verify: (token) => {
      if (token.length > maxTokenLength) return Refusal.make("too_long")
      const key = TokenCache.keyOf(token)
      // only what is not known needs to be looked at
      return known.get(key) ?? (characters.test(token) ? check(token, key) : Refusal.make("malformed"))
    },
    forget: () => {
      generation++
      known.clear()
    }
  }
}
