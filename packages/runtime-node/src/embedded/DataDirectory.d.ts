import { Effect } from "effect";
import { type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
import { type PostgresUser } from "./PostgresUser.ts";
export interface Options {
    /** Made when it is missing. Relative to the current directory. */
    readonly dataDir: string;
    /**
     * Used instead when the user that Postgres runs as can't enter `dataDir` (in root's home, for example), or when the
     * fallback itself holds the data of an earlier start. Default: a `dataDir` that this user can't enter is an error.
     */
    readonly fallback?: string;
}
/**
 * A directory of the system for the data of one project. Its name has the project's name and a hash of the data's path.
 */
export declare const ofSystem: (dataDir: string) => string;
/** The database cluster in a data directory. */
export declare const cluster: (dataDir: string) => string;
export declare const exists: (path: string) => Promise<boolean>;
/** Answers the data directory as an absolute path, and makes it. */
export declare const make: (options: Options, user: PostgresUser | undefined) => Effect.Effect<string, EmbeddedPostgresError>;
//# sourceMappingURL=DataDirectory.d.ts.map