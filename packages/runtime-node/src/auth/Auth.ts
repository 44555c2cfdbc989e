/** Authentication as the settings say, with its keys loaded. */
import { readFile } from "node:fs/promises"
import type { RequestListener } from "node:http"
import { type Context, Effect, Metric, Option, Redacted, type Scope } from "effect"
import type { Settings } from "../Config.ts"
import { StartupError } from "../programs/StartupError.ts"
import type { Algorithm } from "./Algorithm.ts"
import * as Guard from "./Guard.ts"
import * as JwksEndpoint from "./JwksEndpoint.ts"
import type * as Refusal from "./Refusal.ts"
import { TokenBuckets } from "./TokenBuckets.ts"
import * as TokenVerifier from "./TokenVerifier.ts"
import * as VerificationKeys from "./VerificationKeys.ts"

/** Puts the check in front of a listener. */
export type Auth = (handler: RequestListener) => RequestListener

export const defaultAudience = "invoice"

const explain = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const failure = (setting: string) => (error: unknown) => new StartupError({ reason: `${setting}: ${explain(error)}` })

const readText = (setting: string, path: string): Effect.Effect<string, StartupError> =>
  Effect.tryPromise({ try: () => readFile(path, "utf8"), catch: failure(setting) })

const usableSecret = (setting: string, text: string): Effect.Effect<Uint8Array, StartupError> => {
  const secret = Buffer.from(text, "utf8")
  if (text.includes("-----BEGIN")) {
    return Effect.fail(failure(setting)("it is a key in PEM and no secret; public keys go to JWT_PUBLIC_KEY_FILE"))
  }
  return secret.length < 32
    ? Effect.fail(failure(setting)("it must have at least 32 bytes, such as from `openssl rand -base64 32`"))
    : Effect.succeed(secret)
}

/** The shared secret, undefined when there is none. */
export const secret = ({
  jwtSecret,
  jwtSecretFile
}: Pick<Settings, "jwtSecret" | "jwtSecretFile">): Effect.Effect<Uint8Array | undefined, StartupError> =>
  Option.isSome(jwtSecret)
    ? usableSecret("JWT_SECRET", Redacted.value(jwtSecret.value))
    : Option.isSome(jwtSecretFile)
      ? Effect.flatMap(readText("JWT_SECRET_FILE", jwtSecretFile.value), (text) =>
          usableSecret("JWT_SECRET_FILE", text.trim())
        )
      : Effect.succeed(undefined)

const fileKeys = ({ jwtPublicKeyFile }: Settings): Effect.Effect<VerificationKeys.FileKeys | undefined, StartupError> =>
  Option.match(jwtPublicKeyFile, {
    onNone: () => Effect.succeed(undefined),
    onSome: (path) =>
      Effect.flatMap(readText("JWT_PUBLIC_KEY_FILE", path), (text) =>
        Effect.tryPromise({ try: () => VerificationKeys.fromFile(text), catch: failure("JWT_PUBLIC_KEY_FILE") })
      )
  })

const jwksFetches = Metric.counter("auth_jwks_fetches_total", {
  description: "Fetches of the identity provider's keys",
  incremental: true
})

/** The provider's keys, fetched now and again while the scope lasts. A provider that is away keeps no program from starting. */
const endpoint = (
  { jwksUrl }: Settings,
  onChange: () => void
): Effect.Effect<JwksEndpoint.JwksEndpoint | undefined, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (Option.isNone(jwksUrl)) return undefined
    const url = jwksUrl.value
    const context = yield* Effect.context<never>()
    const results = {
      ok: Metric.withAttributes(jwksFetches, { result: "ok" }),
      failed: Metric.withAttributes(jwksFetches, { result: "failed" })
    }
    const keys = new JwksEndpoint.JwksEndpoint({
      url,
      onChange,
      onFetch: (failure) => {
        results[failure === undefined ? "ok" : "failed"].updateUnsafe(1, context)
        if (failure !== undefined) {
          Effect.runForkWith(context)(
            Effect.annotateLogs(Effect.logWarning("JWT_JWKS_URL can't be fetched"), { url, error: failure })
          )
        }
      }
    })
    yield* Effect.promise(() => keys.refresh())
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.andThen(
          Effect.suspend(() => Effect.sleep(keys.isAway ? JwksEndpoint.cooldownMillis : JwksEndpoint.refreshMillis)),
          Effect.promise(() => keys.refresh())
        )
      )
    )
    return keys
  })

/** The algorithms that are allowed and that the keys can check. */
const algorithms = (
  { jwksUrl, jwtAlgorithms }: Settings,
  keys: LocalKeys
): Effect.Effect<ReadonlyArray<Algorithm>, StartupError> => {
  const possible = VerificationKeys.algorithmsOf(keys, Option.isSome(jwksUrl))
  const allowed = Option.getOrElse(jwtAlgorithms, () => possible)
  const without = allowed.filter((name) => !possible.includes(name))
  return without.length === 0
    ? Effect.succeed(allowed)
    : Effect.fail(
        new StartupError({ reason: `JWT_ALGORITHMS: there is no key for ${without.join(", ")}, or it is too short` })
      )
}

type LocalKeys = Pick<VerificationKeys.VerificationKeys, "secret" | "file">

const localKeys = (settings: Settings): Effect.Effect<LocalKeys, StartupError> =>
  Effect.all({ secret: secret(settings), file: fileKeys(settings) })

/** Refuses keys that can't be used, before a program waits for its database. */
export const check = (settings: Settings): Effect.Effect<void, StartupError> =>
  settings.auth === "jwt" ? Effect.flatMap(localKeys(settings), (keys) => algorithms(settings, keys)) : Effect.void

const verifier = (settings: Settings): Effect.Effect<TokenVerifier.TokenVerifier, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    let forget = (): void => undefined
    const local = yield* localKeys(settings)
    const allowed = yield* algorithms(settings, local)
    const keys = { ...local, endpoint: yield* endpoint(settings, () => forget()) }
    const issuer = Option.getOrUndefined(settings.jwtIssuer)
    const audiences = Option.getOrElse(settings.jwtAudience, () => [defaultAudience])
    const made = TokenVerifier.make({
      keys,
      algorithms: allowed,
      issuer,
      audiences,
      skewSeconds: Option.getOrElse(settings.jwtClockSkewSeconds, () => 30)
    })
    forget = made.forget
    yield* Effect.annotateLogs(Effect.logInfo("every request needs a token"), {
      issuer: issuer ?? "any",
      audience: audiences.join(", "),
      algorithms: allowed.join(", ")
    })
    return made
  })

const day = 86_400

const limits = ({ quotaPerDay, rateLimitBurst, rateLimitPerSecond }: Settings): ReadonlyArray<Guard.Limit> => [
  ...Option.match(rateLimitPerSecond, {
    onNone: () => [],
    onSome: (perSecond) => {
      const burst = Option.getOrElse(rateLimitBurst, () => 2 * perSecond)
      return [{ reason: "rate" as const, buckets: new TokenBuckets({ perSecond, burst }) }]
    }
  }),
  ...Option.match(quotaPerDay, {
    onNone: () => [],
    onSome: (quota) => [
      { reason: "quota" as const, buckets: new TokenBuckets({ perSecond: quota / day, burst: quota }) }
    ]
  })
]

const refusals = Metric.counter("auth_refused_total", { description: "Requests refused", incremental: true })
const limitations = Metric.counter("rate_limited_total", {
  description: "Requests beyond a principal's rate or quota",
  incremental: true
})

/** A counter for each set of labels, made once. The labels are from closed sets. */
const counting = <Labels extends Readonly<Record<string, string>>>(
  counter: typeof refusals,
  context: Context.Context<never>
): ((labels: Labels) => void) => {
  const counters = new Map<string, typeof counter>()
  return (labels) => {
    const key = Object.values(labels).join(" ")
    const known = counters.get(key) ?? Metric.withAttributes(counter, labels)
    counters.set(key, known)
    known.updateUnsafe(1, context)
  }
}

export const make = (settings: Settings): Effect.Effect<Auth, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const refused = counting<{ readonly reason: Refusal.Reason }>(refusals, context)
    const limited = counting<{ readonly limit: string; readonly by: string }>(limitations, context)
    const options: Guard.Options = {
      verifier: settings.auth === "jwt" ? yield* verifier(settings) : undefined,
      limits: limits(settings),
      onRefused: (reason) => refused({ reason }),
      onLimited: (limit, by) => limited({ limit, by })
    }
    return (handler) => Guard.guard(options, handler)
  })
