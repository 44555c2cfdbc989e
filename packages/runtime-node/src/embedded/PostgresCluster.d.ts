import type { Effect } from "effect";
import { type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
import type * as PostgresBinaries from "./PostgresBinaries.ts";
import type * as PostgresUser from "./PostgresUser.ts";
/** The role that owns everything in the cluster. */
export declare const role = "invoice";
/** Creates the cluster under another name and then renames it, so that a half-made cluster is never used. */
export declare const initialise: ({ initdb }: PostgresBinaries.PostgresBinaries, cluster: string, passwordFile: string, as: PostgresUser.PostgresUser | undefined) => Effect.Effect<void, EmbeddedPostgresError>;
//# sourceMappingURL=PostgresCluster.d.ts.map