/** Why the embedded Postgres can't be used. */
import { Effect, Schema } from "effect";
/** The message is for the person who typed the command. */
export class EmbeddedPostgresError extends Schema.TaggedError()("EmbeddedPostgresError", {
    reason: Schema.String
}) {
    get message() {
        return this.reason;
    }
}
export const fail = (reason) => Effect.fail(new EmbeddedPostgresError({ reason }));
/** Fails with `what` and the message of whatever `evaluate` rejects with. */
export const attempt = (what, evaluate) => Effect.tryPromise({
    try: evaluate,
    catch: (error) => new EmbeddedPostgresError({ reason: `${what}: ${error instanceof Error ? error.message : String(error)}` })
});
//# sourceMappingURL=EmbeddedPostgresError.js.map