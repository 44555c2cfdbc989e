/** An operator's commands for the outbox: change the number of lanes, and make it usable after a restore. */
import type { Layer } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as Client from "./Client.ts"

export { OutboxNotChanged, type ResizeOptions, resize } from "./OutboxLanes.ts"
export { adopt, type Restamped, restamp } from "./OutboxRestore.ts"

/** A connection for these operations. */
export const layer = (options: Client.Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Client.layer({ ...options, maxConnections: 1 }, "invoice-outbox-admin", "none")
