/** Defects (bugs, as opposed to errors that a type names): their message stays in the log, a client gets an id to tell us. */
import { type Cause, Effect } from "effect"

declare const crypto: { readonly randomUUID: () => string }

/** Logs the cause under `message`; answers the id that the line has as `instance`, `urn:uuid:…` (RFC 9562). */
export const report = (message: string, cause: Cause.Cause<unknown>): Effect.Effect<string> =>
  Effect.suspend(() => {
    const instance = `urn:uuid:${crypto.randomUUID()}`
    return Effect.as(Effect.logError(message, cause).pipe(Effect.annotateLogs({ instance })), instance)
  })
