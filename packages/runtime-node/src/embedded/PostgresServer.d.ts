/** The server as a child process. */
import { type ChildProcess } from "node:child_process";
import { Effect, type Scope } from "effect";
import { type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
import type * as PostgresBinaries from "./PostgresBinaries.ts";
import type * as PostgresUser from "./PostgresUser.ts";
export declare const freePort: Effect.Effect<number, EmbeddedPostgresError, never>;
/** Stops the server that a killed process left running on this cluster. */
export declare const stopOrphan: (cluster: string) => Effect.Effect<void, EmbeddedPostgresError>;
interface Server {
    readonly child: ChildProcess;
    stopping: boolean;
}
declare const start: ({ postgres }: PostgresBinaries.PostgresBinaries, cluster: string, port: number, as: PostgresUser.PostgresUser | undefined) => Effect.Effect<Server, EmbeddedPostgresError>;
/** Runs while the scope lasts. */
export declare const run: (...args: Parameters<typeof start>) => Effect.Effect<Server, EmbeddedPostgresError, Scope.Scope>;
export {};
//# sourceMappingURL=PostgresServer.d.ts.map