/** Where the real code meets the models. */
import { Outbox } from "@invoice/core"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as PostgresChanges from "../../packages/adapters/src/postgres/PostgresChanges.ts"
import * as PostgresOutbox from "../../packages/adapters/src/postgres/PostgresOutbox.ts"
import type { Connections } from "./postgres/Connections.ts"
import * as Meanings from "./postgres/Statements.ts"

export const statements = (): Meanings.Statements =>
  new Meanings.Statements()
    .bind(PostgresOutbox.statements, Meanings.outbox)
    .bind(PostgresChanges.statements, Meanings.changes)

export const outboxOver = (connections: Connections): Layer.Layer<Outbox> =>
  Layer.effect(Outbox, PostgresOutbox.make).pipe(
    Layer.provide(
      Layer.succeed(SqlClient.SqlClient, {
        unsafe: (text: string, parameters: ReadonlyArray<unknown>) => connections.execute(text, parameters)
      } as unknown as SqlClient.SqlClient)
    )
  )

void Effect
export { format } from "./postgres/Snapshot.ts"

export const fencedTexts = {
  acquire: PostgresOutbox.statements.acquireLane,
  fenced: new Set<string>([
    PostgresOutbox.statements.renewLane,
    PostgresOutbox.statements.commitPosition,
    PostgresOutbox.statements.parkEvents,
    PostgresOutbox.statements.deleteParked
  ])
}
