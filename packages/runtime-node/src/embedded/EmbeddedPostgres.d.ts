import { Effect, Redacted, type Scope } from "effect";
import * as DataDirectory from "./DataDirectory.ts";
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
export { EmbeddedPostgresError };
export type Options = DataDirectory.Options;
export interface Running {
    readonly url: Redacted.Redacted;
    /** Where the data is: `options.dataDir` or its fallback, as an absolute path. */
    readonly dataDir: string;
}
/** Starts Postgres on the directory, and stops it when the scope closes. */
export declare const make: (options: DataDirectory.Options) => Effect.Effect<Running, EmbeddedPostgresError, Scope.Scope>;
//# sourceMappingURL=EmbeddedPostgres.d.ts.map