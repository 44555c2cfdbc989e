/** Defects: bugs, not typed errors. Their message stays in the log; the client gets an id to report. */
import { type Cause, Effect } from "effect"

declare const crypto: { readonly randomUUID: () => string }

/** Logs the cause under `message`; answers the id that the log line has as `instance`, `urn:uuid:…` (RFC 9562). */
export const report = (message: string, cause: Cause.Cause<unknown>): Effect.Effect<string> =>
  Effect.suspend(() => {
    const instance = `urn:uuid:${crypto.randomUUID()}`
    return Effect.as(Effect.logError(message, cause).pipe(Effect.annotateLogs({ instance })), instance)
  })
