import type { Effect } from "effect";
import { type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
export interface PostgresUser {
    readonly uid: number;
    readonly gid: number;
}
/** The user to run Postgres as; `undefined` when this process is not root, so that its own user can run it. */
export declare const find: Effect.Effect<PostgresUser | undefined, EmbeddedPostgresError>;
/** Whether the user can enter a directory that exists. */
export declare const canEnter: (user: PostgresUser, directory: string) => Promise<boolean>;
/** Whether the user can run that Postgres, its libraries included. */
export declare const canRun: (user: PostgresUser, postgres: string) => Promise<boolean>;
//# sourceMappingURL=PostgresUser.d.ts.map