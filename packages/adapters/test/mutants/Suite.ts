/** Whether a contract suite sees faults: each mutant fails the laws that it breaks, and each law is broken by a mutant. */
import { assert, describe, it } from "@effect/vitest"
import type { Law } from "@invoice/testing/Contract"
import { Cause, type Duration, Effect, Exit } from "effect"

export interface Mutant<Layer> {
  /** What is wrong with it. */
  readonly fault: string
  /** Made anew for every law. */
  readonly make: () => Layer
  /** The names of the laws that it breaks; it may break others as well. */
  readonly fails: ReadonlyArray<string>
  /** It may show by something that never happens, so that a law runs out of time. */
  readonly waits?: boolean
}

export interface Suite<Layer> {
  /** What is tested, such as "a store that". */
  readonly name: string
  readonly laws: (layer: Layer, timeout: Duration.Input) => ReadonlyArray<Law>
  readonly mutants: ReadonlyArray<Mutant<Layer>>
  /** Without a fault, and with every feature. */
  readonly sound: () => Layer
}

const lawOf = (laws: ReadonlyArray<Law>, name: string): Law =>
  laws.find((law) => law.name === name) ?? assert.fail(`the contract has no law "${name}"`)

const timeout = "30 seconds"
const limitMillis = 40_000
/** For what never happens. */
const shortTimeout = "500 millis"

const timedOut = (cause: Cause.Cause<unknown>): boolean => Cause.pretty(cause).includes("TimeoutError")

export const suite = <Layer>({ laws, mutants, name, sound }: Suite<Layer>): void => {
  describe(name, () => {
    for (const { fails, fault, make, waits = false } of mutants) {
      for (const broken of fails) {
        it.live(
          `${fault} fails "${broken}"`,
          () =>
            Effect.gen(function* () {
              const exit = yield* Effect.exit(lawOf(laws(make(), waits ? shortTimeout : timeout), broken).law)
              assert.isTrue(Exit.isFailure(exit), "the law does not see the fault")
              // a law that is merely slow would prove nothing
              if (Exit.isFailure(exit)) assert.isTrue(waits || !timedOut(exit.cause), Cause.pretty(exit.cause))
            }),
          limitMillis
        )
      }
    }

    const all = laws(sound(), timeout)

    it("breaks every law with at least one mutant", () => {
      const broken = new Set(mutants.flatMap(({ fails }) => fails))
      assert.deepStrictEqual(
        all.map((law) => law.name).filter((law) => !broken.has(law)),
        []
      )
    })

    for (const { feature, law, name } of all) {
      // the others hold for every adapter, which the suites of the adapters show
      if (feature !== undefined) it.live(`has no fault keeps "${name}"`, () => law, limitMillis)
    }
  })
}
