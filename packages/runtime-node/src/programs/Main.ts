/**
 * Runs a program as this process: reads the settings, prints one line when the program is ready, and stops it in order
 * when the process gets SIGINT or SIGTERM.
 *
 * @example
 * // a validator with a profile of yours; everything else is as the settings say
 * Main.start("validator", (settings) => Validator.make(settings, { validator: ProfileValidator.layer(acme) }))
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Console, Effect, Config as EffectConfig, Exit, Option, Schema, SchemaIssue } from "effect"
import { CliError } from "effect/cli"
import * as Config from "../Config.ts"
import * as Observability from "../Observability.ts"
import type { Program, Ready } from "./Program.ts"
import * as StartupError from "./StartupError.ts"

const readyLine = ({ note, urls }: Ready): string =>
  `invoice ready: ${Object.entries(urls)
    .map(([name, url]) => `${name} ${url}`)
    .join("  ")}${note === undefined ? "" : `  (${note})`}`

/**
 * Runs until it is interrupted, then stops in the order that the program's scope says.
 *
 * @param name in logs, traces and metrics
 * @param overrides settings that are not read from the environment
 */
export const run = (
  name: string,
  make: (settings: Config.Settings) => Program,
  overrides: Partial<Config.Settings> = {}
) =>
  Effect.gen(function* () {
    const settings = { ...(yield* Config.load), ...overrides }
    yield* Effect.gen(function* () {
      yield* StartupError.check(settings)
      yield* Observability.warnings(settings)
      const ready = yield* make(settings)
      yield* Console.log(readyLine(ready))
      yield* (ready.lost ?? Effect.never).pipe(Effect.onInterrupt(() => Effect.logInfo("stopping")))
    }).pipe(Effect.scoped, Effect.provide(Observability.layer(settings, name)))
  })

const issues = SchemaIssue.makeFormatterStandardSchemaV1()

/** `NAME: what is wrong with it`, for each setting that can't be read. */
const unreadable = ({ cause }: EffectConfig.ConfigError): string =>
  Schema.isSchemaError(cause)
    ? issues(cause.issue)
        .issues.map(({ message, path }) => `${(path ?? []).map(String).join(".")}: ${message}`)
        .join("; ")
    : cause.message

/** Prints an error in one line, for the person at the command line to correct; prints a defect with its whole cause. */
const explain = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (Cause.hasInterruptsOnly(cause) || CliError.isCliError(failure)) {
    // the program was asked to stop, or the command line's parser has printed the error already
    return Effect.void
  }
  if (failure instanceof EffectConfig.ConfigError) {
    return Console.error(`invoice: ${unreadable(failure)}`)
  }
  return Console.error(`invoice: ${failure instanceof Error ? failure.message : Cause.pretty(cause)}`)
}

/** 2 for a command line that can't be understood, as is usual; 1 for a program that failed. */
const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) {
    return Number(process.exitCode ?? 0)
  }
  return CliError.isCliError(Option.getOrUndefined(Cause.findErrorOption(exit.cause))) ? 2 : 1
}

/** Runs an effect as this process, and ends it with the exit code: 0, 1 for a failure, 2 for a wrong command line. */
export const main = (effect: Effect.Effect<void, unknown, NodeServices.NodeServices>): void =>
  effect.pipe(
    Effect.tapCause(explain),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      // a program that stops when it is asked to has succeeded, unless it has set `process.exitCode`
      teardown: (exit, onExit) => onExit(exitCode(exit))
    })
  )

/** A program of your own as this process. */
export const start = (name: string, make: (settings: Config.Settings) => Program): void => main(run(name, make))
