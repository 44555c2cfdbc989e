/** Where the real code meets the models. */
import { Outbox } from "@invoice/core"
import { Layer } from "effect"
import type { SqlClient } from "effect/sql"
import * as Client from "../../packages/adapters/src/postgres/Client.ts"
import * as PostgresChanges from "../../packages/adapters/src/postgres/PostgresChanges.ts"
import * as PostgresOutbox from "../../packages/adapters/src/postgres/PostgresOutbox.ts"
import type { Connections } from "./postgres/Connections.ts"
import * as Meanings from "./postgres/Statements.ts"

/** How long a statement may take, in milliseconds. */
const timeoutMillis = 1_000

export const statements = (outbox: Readonly<Record<string, Meanings.Meaning>> = Meanings.outbox()): Meanings.Statements =>
  new Meanings.Statements().bind(PostgresOutbox.statements, outbox).bind(PostgresChanges.statements, Meanings.changes)

/** Runs the adapter's statements on the model, within the adapter's own deadlines. */
const runs = (connections: Connections): Client.Run =>
  Client.run(
    {
      unsafe: (text: string, parameters: ReadonlyArray<unknown>) => connections.execute(text, parameters)
    } as unknown as SqlClient.SqlClient,
    timeoutMillis
  )

export const outboxOver = (connections: Connections): Layer.Layer<Outbox> =>
  Layer.succeed(Outbox, PostgresOutbox.make(runs(connections), timeoutMillis))

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
