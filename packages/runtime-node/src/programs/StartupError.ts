/** Why a program doesn't start, for the person who typed the command: no stack, exit code 1. */
import { Effect, Option, Schema } from "effect"
import { type Address, type Settings, tokenSettings } from "../Config.ts"
import { isLoopback } from "../Loopback.ts"

export class StartupError extends Schema.TaggedError<StartupError>()("StartupError", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const refuse = (reason: string): Effect.Effect<never, StartupError> => Effect.fail(new StartupError({ reason }))

const guard = (name: string, { host }: Address, settings: Settings): Effect.Effect<void, StartupError> =>
  settings.auth !== "loopback" || isLoopback(host)
    ? Effect.void
    : refuse(
        `${name} listens beyond this machine (${host}) and nobody is authenticated: set JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE or JWT_SECRET so that requests need a token, say AUTH=off if that is meant, or use 127.0.0.1`
      )

const both = (one: Option.Option<unknown>, other: Option.Option<unknown>): boolean =>
  Option.isSome(one) && Option.isSome(other)

/** What is wrong with the settings of authentication: nobody may believe that it is on while it is off, or only half there. */
const authProblem = (settings: Settings): string | undefined => {
  const { auth, authSetting, jwksUrl, jwtIssuer, jwtPublicKeyFile, jwtSecret, jwtSecretFile } = settings
  const named = tokenSettings(settings)
  if (auth !== "jwt" && named.length > 0) {
    return `AUTH=${auth} authenticates nobody, and ${named.join(", ")} is set: set AUTH=jwt, or unset the others`
  }
  const keys: ReadonlyArray<Option.Option<unknown>> = [jwksUrl, jwtPublicKeyFile, jwtSecret, jwtSecretFile]
  if (auth === "jwt" && keys.every(Option.isNone)) {
    const cause = Option.isSome(authSetting) ? "AUTH=jwt" : named.join(", ")
    return `${cause} needs keys to check tokens with: set JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE, JWT_SECRET or JWT_SECRET_FILE`
  }
  if (Option.isSome(jwksUrl) && Option.isNone(jwtIssuer)) {
    return "JWT_JWKS_URL needs JWT_ISSUER, the `iss` of the provider's tokens"
  }
  if (both(jwtSecret, jwtSecretFile)) return "JWT_SECRET and JWT_SECRET_FILE are both set: unset one of them"
  if (both(settings.storageToken, settings.storageTokenFile)) {
    return "STORAGE_TOKEN and STORAGE_TOKEN_FILE are both set: unset one of them"
  }
  return Option.isSome(settings.rateLimitBurst) && Option.isNone(settings.rateLimitPerSecond)
    ? "RATE_LIMIT_BURST is nothing without RATE_LIMIT_PER_SECOND: set both"
    : undefined
}

const checkAuth = (settings: Settings): Effect.Effect<void, StartupError> => {
  const problem = authProblem(settings)
  return problem === undefined ? Effect.void : refuse(problem)
}

/** Refuses settings with which no program may start. */
export const check = (settings: Settings): Effect.Effect<void, StartupError> =>
  Effect.all(
    [
      checkAuth(settings),
      guard("HTTP_ADDRESS", settings.httpAddress, settings),
      guard("GRPC_ADDRESS", settings.grpcAddress, settings),
      guard("METRICS_ADDRESS", settings.metricsAddress, settings)
    ],
    { discard: true }
  )

/** Refuses `STORAGE_ADDRESS` for a program that keeps invoices itself. */
export const noStorage = (program: string, settings: Settings): Effect.Effect<void, StartupError> =>
  Option.isSome(settings.storageAddress)
    ? refuse(`STORAGE_ADDRESS is set, and invoice ${program} keeps invoices itself: unset it`)
    : Effect.void

/** A setting that a program can't do without. */
export const required = <A>(program: string, name: string, value: Option.Option<A>): Effect.Effect<A, StartupError> =>
  Option.match(value, {
    onNone: () => refuse(`invoice ${program} needs ${name}; \`invoice up\` runs without`),
    onSome: Effect.succeed
  })
