/** Connects the product's code to the models. */
import { type InvoiceStore, type Outbox, StoreUnavailable } from "@invoice/core"
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type * as Client from "../../packages/adapters/src/postgres/Client.ts"
import * as PostgresChanges from "../../packages/adapters/src/postgres/PostgresChanges.ts"
import * as PostgresOutbox from "../../packages/adapters/src/postgres/PostgresOutbox.ts"
import * as SnapshotWindow from "../../packages/adapters/src/postgres/SnapshotWindow.ts"
import type { Connections } from "./postgres/Connections.ts"
import type { Server } from "./postgres/Server.ts"
import * as Meanings from "./postgres/Statements.ts"

/** How long a statement may take, in milliseconds. */
const timeoutMillis = 1_000

type Named = Readonly<Record<string, Meanings.Meaning>>

export const statements = (outbox: Named = Meanings.outbox(), changes: Named = Meanings.changes): Meanings.Statements =>
  new Meanings.Statements().bind(PostgresOutbox.statements, outbox).bind(PostgresChanges.statements, changes)

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

/** A position after everything that is visible now. */
export const head = (server: Server): string => {
  const [row] = Meanings.changes.head({ server, transaction: server.begin() }, [])
  return SnapshotWindow.head(row as unknown as SnapshotWindow.HeadRow)
}

/** The part of the store that reads changes. */
export const changes = (connections: Connections): Pick<InvoiceStore["Service"], "changes" | "head"> => {
  const run = runs(connections)
  return PostgresChanges.make((statement, parameters) =>
    Effect.mapError(run(statement, parameters), (cause) => new StoreUnavailable({ kind: "unavailable", cause }))
  )
}
