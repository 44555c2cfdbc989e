/** An `InvoiceValidator` that judges by the rules of a profile. */
import { Effect, Layer } from "effect"
import * as Profile from "../domain/Profile.ts"
import { InvoiceValidator } from "../ports/InvoiceValidator.ts"

/** Judges with this profile. */
export const layer = (profile: Profile.Profile): Layer.Layer<InvoiceValidator> =>
  Layer.succeed(
    InvoiceValidator,
    InvoiceValidator.of({ judge: (invoice) => Effect.sync(() => Profile.judge(profile, invoice)) })
  )
