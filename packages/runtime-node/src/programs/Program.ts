/** What every program is: something that starts, says where it listens, and runs until it is told to stop. */
import type { Effect, Scope } from "effect"
import type { SqlError } from "effect/sql"
import type { EmbeddedPostgresError } from "../EmbeddedPostgres.ts"
import type { StartupError } from "./StartupError.ts"

/** What to print in the line that says it is ready. */
export interface Ready {
  readonly urls: Readonly<Record<string, string>>
  readonly note?: string
}

export type Program = Effect.Effect<Ready, StartupError | EmbeddedPostgresError | SqlError.SqlError, Scope.Scope>
