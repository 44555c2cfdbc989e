import { Effect, type Scope } from "effect";
import { type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts";
/** Held while this process uses the directory. A lock that a killed process left behind is taken over. */
export declare const hold: (dataDir: string) => Effect.Effect<void, EmbeddedPostgresError, Scope.Scope>;
//# sourceMappingURL=DirectoryLock.d.ts.map