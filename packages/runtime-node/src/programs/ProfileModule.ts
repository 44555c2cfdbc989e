/** A profile from a module that a user names, who then needs no fork and no program of their own. */
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { Profile } from "@invoice/core"
import { Effect, Predicate } from "effect"
import { StartupError } from "./StartupError.ts"

const isText = (value: unknown): value is string => typeof value === "string" && value !== ""

const has = <Name extends string>(
  value: unknown,
  name: Name,
  is: (property: unknown) => boolean
): value is { readonly [N in Name]: unknown } => Predicate.hasProperty(value, name) && is(value[name])

const isRule = (value: unknown): boolean =>
  has(value, "code", isText) &&
  has(value, "severity", (severity) => severity === "error" || severity === "warning") &&
  has(value, "check", (check) => typeof check === "function")

const isProfile = (value: unknown): value is Profile.Profile =>
  has(value, "name", isText) &&
  has(value, "version", isText) &&
  has(value, "rules", (rules) => Array.isArray(rules) && rules.every(isRule))

/**
 * Loads a module of JavaScript or TypeScript, and answers the profile among its exports: `default`, or the only one.
 * A path is relative to the current directory.
 */
export const load = (path: string): Effect.Effect<Profile.Profile, StartupError> =>
  Effect.gen(function* () {
    const exports: Readonly<Record<string, unknown>> = yield* Effect.tryPromise({
      try: () => import(pathToFileURL(resolve(path)).href),
      catch: (error) => refuse(path, error instanceof Error ? error.message : String(error))
    })
    const found = Object.entries(exports).flatMap(([name, value]) =>
      isProfile(value) ? [{ name, profile: value }] : []
    )
    const chosen = found.find(({ name }) => name === "default") ?? (found.length === 1 ? found[0] : undefined)
    if (chosen !== undefined) return chosen.profile
    const names = found.map(({ name }) => name).join(", ")
    return yield* refuse(
      path,
      found.length === 0
        ? "exports no profile: that is an object with `name`, `version` and `rules`, each with `code`, `severity` and `check`"
        : `exports several profiles (${names}): make one of them the default export`
    )
  })

const refuse = (path: string, why: string): StartupError =>
  new StartupError({ reason: `VALIDATOR_PROFILE: ${path}: ${why}` })
