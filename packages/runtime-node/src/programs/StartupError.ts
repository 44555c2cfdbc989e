/** Why a program doesn't start, for the person who typed the command: no stack, exit code 1. */
import { Effect, Option, Schema } from "effect"
import type { Address, Settings } from "../Config.ts"
import { isLoopback } from "../Loopback.ts"

export class StartupError extends Schema.TaggedError<StartupError>()("StartupError", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const refuse = (reason: string): Effect.Effect<never, StartupError> => Effect.fail(new StartupError({ reason }))

const guard = (name: string, { host }: Address, settings: Settings): Effect.Effect<void, StartupError> =>
  settings.auth === "off" || isLoopback(host)
    ? Effect.void
    : refuse(
        `${name} listens beyond this machine (${host}) and nobody is authenticated: say AUTH=off if that is meant, or use 127.0.0.1`
      )

/** Refuses settings with which no program may start. */
export const check = (settings: Settings): Effect.Effect<void, StartupError> =>
  Effect.all(
    [
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
