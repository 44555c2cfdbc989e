/** Why the embedded Postgres can't be used. */
import { Effect, Schema } from "effect"

/** The message is for the person who typed the command. */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

export const fail = (reason: string): Effect.Effect<never, EmbeddedPostgresError> =>
  Effect.fail(new EmbeddedPostgresError({ reason }))

/** Fails with `what` and the message of whatever `evaluate` rejects with. */
export const attempt = <A>(what: string, evaluate: () => Promise<A>): Effect.Effect<A, EmbeddedPostgresError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (error) =>
      new EmbeddedPostgresError({ reason: `${what}: ${error instanceof Error ? error.message : String(error)}` })
  })
