/** What the commands for operators have in common: they print what is asked for, and explain a failure in a line. */
import { Effect, Logger } from "effect"
import { StartupError } from "./StartupError.ts"

interface Failure {
  readonly message: string
  readonly cause?: unknown
}

/** Log lines go to standard error, so that standard output holds the answer only. */
const quietly = Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]))

/** @param about what the failure is about, such as a setting; it stands before the reason */
export const run = <A, E extends Failure, R>(
  effect: Effect.Effect<A, E, R>,
  about?: string
): Effect.Effect<A, StartupError, R> =>
  quietly(
    Effect.mapError(effect, (error) =>
      error instanceof StartupError
        ? error
        : new StartupError({
            reason: `${about === undefined ? "" : `${about}: `}${error.message}${
              error.cause instanceof Error ? `: ${error.cause.message}` : ""
            }`
          })
    )
  )
