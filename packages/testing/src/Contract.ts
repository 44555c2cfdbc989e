/** What the contract suites share: a law, how it runs, and how it becomes a test. */
import { describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, type Scope } from "effect"

export interface Law<Feature extends string = string> {
  readonly name: string
  /** The law holds only for adapters that claim this. */
  readonly feature?: Feature
  /** Fails or dies when the law is broken. */
  readonly law: Effect.Effect<void, unknown>
}

export type MakeLaw<Ports, Feature extends string> = (
  name: string,
  body: Effect.Effect<void, unknown, Ports | Scope.Scope>,
  feature?: Feature
) => Law<Feature>

/** Runs an effect on one more instance of the layer, as after a restart or in another process. */
export type Elsewhere<Ports> = <A, E>(effect: Effect.Effect<A, E, Ports | Scope.Scope>) => Effect.Effect<A, unknown>

/** How the laws of a layer run: each on an instance of its own, and no longer than the time given. */
export const over = <Ports, Feature extends string>(
  layer: Layer.Layer<Ports, unknown>,
  timeout: Duration.Input
): { readonly law: MakeLaw<Ports, Feature>; readonly elsewhere: Elsewhere<Ports> } => {
  const elsewhere: Elsewhere<Ports> = (effect) => effect.pipe(Effect.scoped, Effect.provide(Layer.fresh(layer)))
  return {
    elsewhere,
    law: (name, body, feature) => ({
      name,
      ...(feature === undefined ? {} : { feature }),
      law: elsewhere(Effect.timeout(body, timeout))
    })
  }
}

/** vitest's limit for a test is this much longer than the law's, so that the law's own timeout is the one reported. */
const grace = 10_000

/** Registers a test for each law; a law that is not claimed is reported as skipped, by name. */
export const register = <Feature extends string>(
  name: string,
  laws: ReadonlyArray<Law<Feature>>,
  features: Readonly<Partial<Record<Feature, boolean>>>,
  timeout: Duration.Input
): void => {
  const limit = Duration.toMillis(Duration.fromInputUnsafe(timeout)) + grace
  describe(name, () => {
    for (const { name: title, feature, law } of laws) {
      if (feature !== undefined && features[feature] !== true) it.skip(`${title} (not claimed: ${feature})`, () => {})
      else it.live(title, () => law, limit)
    }
  })
}
