/** Where the real code meets the models. */
import type { Outbox } from "@invoice/core"
import type { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type * as Client from "../../packages/adapters/src/postgres/Client.ts"
import * as PostgresChanges from "../../packages/adapters/src/postgres/PostgresChanges.ts"
import * as PostgresOutbox from "../../packages/adapters/src/postgres/PostgresOutbox.ts"
import type { Connections } from "./postgres/Connections.ts"
import * as Meanings from "./postgres/Statements.ts"

/** How long a statement may take, in milliseconds. */
const timeoutMillis = 1_000

export const statements = (outbox: Readonly<Record<string, Meanings.Meaning>> = Meanings.outbox()): Meanings.Statements =>
  new Meanings.Statements().bind(PostgresOutbox.statements, outbox).bind(PostgresChanges.statements, Meanings.changes)

/** Runs the adapter's statements on the model, with deadlines as the adapter's own `Client.run` has them. */
const runs =
  (connections: Connections): Client.Run =>
  <Row extends object>(text: string, parameters: ReadonlyArray<unknown>, millis = timeoutMillis) =>
    connections.execute(text, parameters, millis) as Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError>

export const outbox = (connections: Connections): Outbox["Service"] =>
  PostgresOutbox.make(runs(connections), timeoutMillis)

export const fencedTexts = {
  acquire: PostgresOutbox.statements.acquireLane,
  fenced: new Set<string>([
    PostgresOutbox.statements.renewLane,
    PostgresOutbox.statements.releaseLane,
    PostgresOutbox.statements.commitPosition,
    PostgresOutbox.statements.parkEvents,
    PostgresOutbox.statements.deleteParked
  ])
}
