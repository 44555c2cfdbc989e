/** Why the embedded Postgres can't be used. */
import { Effect, Schema } from "effect";
declare const EmbeddedPostgresError_base: Schema.Class<EmbeddedPostgresError, Schema.TaggedStruct<"EmbeddedPostgresError", {
    readonly reason: Schema.String;
}>, import("effect/Cause").YieldableError>;
/** The message is for the person who typed the command. */
export declare class EmbeddedPostgresError extends EmbeddedPostgresError_base {
    get message(): string;
}
export declare const fail: (reason: string) => Effect.Effect<never, EmbeddedPostgresError>;
/** Fails with `what` and the message of whatever `evaluate` rejects with. */
export declare const attempt: <A>(what: string, evaluate: () => Promise<A>) => Effect.Effect<A, EmbeddedPostgresError>;
export {};
//# sourceMappingURL=EmbeddedPostgresError.d.ts.map