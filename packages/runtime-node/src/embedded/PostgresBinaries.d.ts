import type { Effect } from "effect";
import { type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
import { type PostgresUser } from "./PostgresUser.ts";
export interface PostgresBinaries {
    readonly initdb: string;
    readonly postgres: string;
}
/**
 * The binaries that npm installed, or a copy when the user that Postgres runs as can't run those (below root's home).
 */
export declare const find: (dataDir: string, user: PostgresUser | undefined) => Effect.Effect<PostgresBinaries, EmbeddedPostgresError>;
//# sourceMappingURL=PostgresBinaries.d.ts.map