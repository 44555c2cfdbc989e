/** Who sent the request that is being handled. */
import { Context } from "effect"

/**
 * The name of the sender, at most 255 characters: what authentication found, or `api` when nobody has to prove who they
 * are. A creation's history shows it, and idempotency keys are separate for each principal.
 *
 * Provide it around the handling of a request: `Effect.provideService(effect, Principal, name)`.
 */
export const Principal = Context.Reference<string>("@invoice/core/Principal", { defaultValue: () => "api" })
