/** The validators of the core keep the laws of their port, and each broken one fails the law that it breaks. */
import { InvoiceValidator, Profile, ProfileValidator, SimulatedValidator, type Verdict } from "@invoice/core"
import * as InvoiceValidatorContract from "@invoice/testing/InvoiceValidatorContract"
import { Effect, Layer } from "effect"
import { type Mutant, suite } from "./mutants/Suite.ts"

InvoiceValidatorContract.suite("the default profile", ProfileValidator.layer(Profile.core))
InvoiceValidatorContract.suite("the simulated validator", SimulatedValidator.layer({ approvalRate: 0.5 }))

type Validator = Layer.Layer<InvoiceValidator>

const mutant = (
  fault: string,
  change: (verdict: Verdict.Verdict) => Verdict.Verdict,
  ...fails: ReadonlyArray<string>
): Mutant<Validator> => ({
  fault,
  make: () =>
    Layer.effect(
      InvoiceValidator,
      Effect.map(InvoiceValidator, ({ judge }) => ({ judge: (invoice) => Effect.map(judge(invoice), change) }))
    ).pipe(Layer.provide(ProfileValidator.layer(Profile.core))),
  fails
})

const law = {
  total: "every invoice that the types hold gets a verdict",
  reasoned: "a verdict rejects exactly when one of its violations is an error",
  repeated: "the same invoice gets the same verdict, byte for byte, however often it is judged"
}

let judged = 0

suite({
  name: "a validator that",
  laws: (layer, timeout) => InvoiceValidatorContract.laws(layer, { timeout }),
  mutants: [
    mutant("approves everything", (verdict) => ({ ...verdict, status: "Approved" }), law.reasoned),
    mutant(
      "rejects for warnings",
      (verdict) => ({
        ...verdict,
        violations: verdict.violations.map((violation) => ({ ...violation, severity: "warning" }))
      }),
      law.reasoned
    ),
    mutant("does not say who it is", (verdict) => ({ ...verdict, by: "" }), law.total),
    mutant("counts its verdicts", (verdict) => ({ ...verdict, by: `core@${judged++}` }), law.repeated),
    {
      fault: "dies of an invoice without lines",
      make: () =>
        Layer.succeed(InvoiceValidator, {
          judge: (invoice) =>
            invoice.lines.length === 0
              ? Effect.die(new Error("no lines"))
              : Effect.succeed(Profile.judge(Profile.core, invoice))
        }),
      fails: [law.total]
    }
  ],
  sound: () => ProfileValidator.layer(Profile.core)
})
