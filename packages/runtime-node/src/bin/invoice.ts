#!/usr/bin/env node
/** The command line: `invoice up | api | storage | relay | validator | migrate | outbox | dlq | validate`. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { InvoiceEvent } from "@invoice/core"
import { Cause, Console, Effect, Config as EffectConfig, Exit, Option, Schema, SchemaIssue } from "effect"
import { Argument, CliError, Command, Flag } from "effect/cli"
import * as Config from "../Config.ts"
import * as Observability from "../Observability.ts"
import * as AllInOne from "../programs/AllInOne.ts"
import * as Api from "../programs/Api.ts"
import * as Backends from "../programs/Backends.ts"
import * as DeadLetters from "../programs/DeadLetters.ts"
import * as OutboxCommands from "../programs/OutboxCommands.ts"
import type { Program, Ready } from "../programs/Program.ts"
import * as Relay from "../programs/Relay.ts"
import * as StartupError from "../programs/StartupError.ts"
import * as Storage from "../programs/Storage.ts"
import * as ValidateFiles from "../programs/ValidateFiles.ts"
import * as Validator from "../programs/Validator.ts"

const version = "0.1.0"

const readyLine = ({ note, urls }: Ready): string =>
  `invoice ready: ${Object.entries(urls)
    .map(([name, url]) => `${name} ${url}`)
    .join("  ")}${note === undefined ? "" : `  (${note})`}`

/** Runs until it is interrupted, then stops in the order that the program's scope says. */
const run = (name: string, make: (settings: Config.Settings) => Program) =>
  Effect.gen(function* () {
    const settings = yield* Config.load
    yield* Effect.gen(function* () {
      yield* StartupError.check(settings)
      yield* Observability.warnings(settings)
      yield* Console.log(readyLine(yield* make(settings)))
      yield* Effect.never.pipe(Effect.onInterrupt(() => Effect.logInfo("stopping")))
    }).pipe(Effect.scoped, Effect.provide(Observability.layer(settings, name)))
  })

const migrate = Effect.gen(function* () {
  const settings = yield* Config.load
  yield* StartupError.noStorage("migrate", settings)
  const url = yield* StartupError.required("migrate", "DATABASE_URL", settings.databaseUrl)
  yield* Backends.migrate(url).pipe(Effect.provide(Observability.layer(settings, "migrate")))
  yield* Console.log("the schema is up to date")
})

/** Reads no settings: it is for files, on any machine. */
const validate = (options: ValidateFiles.Options) =>
  Effect.gen(function* () {
    // until it is known what the files are worth: as of a program that a signal has ended
    process.exitCode = 130
    process.exitCode = yield* ValidateFiles.run(options, process)
  })

const validateExamples = [
  { command: "invoice validate invoice.json", description: "One document" },
  { command: "invoice validate *.json", description: "Many; a table with a line for each, and one for every reason" },
  { command: "curl -s https://… | invoice validate -", description: "Standard input" },
  { command: "invoice validate --json archive.ndjson > verdicts.ndjson", description: "A JSON object for each line" },
  {
    command: "zcat archive.gz | invoice validate --lines -",
    description: "A document a line, also when the first is broken"
  }
]

/** The settings as a table for the help. */
const settingsHelp = (): string => {
  const width = Math.max(...Config.settings.map(({ name }) => name.length))
  return Config.settings
    .map(
      ({ aliases, default: fallback, description, name }) =>
        `  ${name.padEnd(width)}  ${description} (default: ${fallback}${
          aliases.length === 0 ? "" : `; also ${aliases.join(", ")}`
        })`
    )
    .join("\n")
}

const topic = Flag.String("topic").pipe(
  Flag.withDefault<string>(InvoiceEvent.topics.Pending),
  Flag.withDescription("The topic that the messages came from")
)

const json = Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object a line"))

const command = Command.make("invoice").pipe(
  Command.withDescription(
    `An invoice pipeline: REST, Connect and gRPC in, Postgres, a transactional outbox, Kafka, verdicts.\n\nSettings are environment variables:\n${settingsHelp()}`
  ),
  Command.withSubcommands([
    Command.make("up", {}, () => run("up", AllInOne.make)).pipe(
      Command.withDescription("Everything in one process; runs without any setting")
    ),
    Command.make("api", {}, () => run("api", Api.make)).pipe(
      Command.withDescription("REST, Connect and gRPC, on Postgres or on a storage program")
    ),
    Command.make("storage", {}, () => run("storage", Storage.make)).pipe(
      Command.withDescription("The store and the outbox over gRPC, for the other programs")
    ),
    Command.make("relay", {}, () => run("relay", Relay.make)).pipe(
      Command.withDescription("Moves committed events from Postgres to Kafka")
    ),
    Command.make("validator", {}, () => run("validator", Validator.make)).pipe(
      Command.withDescription("Judges new invoices")
    ),
    Command.make(
      "validate",
      {
        files: Argument.String("file").pipe(
          Argument.withDescription(
            "JSON or NDJSON (.ndjson, .jsonl, or when the first line is a document); - is standard input"
          ),
          Argument.variadic({ min: 1 })
        ),
        json,
        lines: Flag.Boolean("lines").pipe(
          Flag.withDefault(false),
          Flag.withDescription("A document on each line, whatever the first line looks like")
        )
      },
      validate
    ).pipe(
      Command.withDescription(
        "Judges files offline, as the pipeline would. Exit code 0: all approved; 1: some rejected; 2: something that is no invoice or can't be read"
      ),
      Command.withShortDescription("Judges files offline"),
      Command.withExamples(validateExamples)
    ),
    Command.make("migrate", {}, () => migrate).pipe(
      Command.withDescription("Brings the database's schema up to date and exits")
    ),
    Command.make("outbox").pipe(
      Command.withDescription("The outbox: committed events on their way to the broker"),
      Command.withSubcommands([
        Command.make("status", { json }, OutboxCommands.status).pipe(
          Command.withDescription("Prints the lanes, who holds them, and what waits in them")
        ),
        Command.make("parked", { json }, OutboxCommands.parked).pipe(
          Command.withDescription("Lists the keys whose events are held back since the broker refused one of them")
        ),
        Command.make("replay", { key: Argument.String("key") }, OutboxCommands.replay).pipe(
          Command.withDescription("Asks the relay to send a parked key's events again, in order")
        ),
        Command.make(
          "lanes",
          { count: Argument.Int("count").pipe(Argument.optional, Argument.map(Option.getOrUndefined)) },
          OutboxCommands.lanes
        ).pipe(Command.withDescription("Prints the number of lanes, or changes it once everything is published")),
        Command.make(
          "restamp",
          { upgraded: Flag.Boolean("upgraded").pipe(Flag.withDefault(false)) },
          OutboxCommands.restamp
        ).pipe(
          Command.withDescription(
            "After a restore from a dump: says by the old positions what waits. --upgraded: after pg_upgrade, which keeps transaction ids"
          )
        )
      ])
    ),
    Command.make("dlq").pipe(
      Command.withDescription("Dead letters: messages that could not be handled, on <topic>.dlq"),
      Command.withSubcommands([
        Command.make("list", { topic, json }, DeadLetters.list).pipe(
          Command.withDescription("Lists those that were not sent again: partition/offset, time, kind, key, reason")
        ),
        Command.make(
          "replay",
          {
            topic,
            key: Flag.String("key").pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
            all: Flag.Boolean("all").pipe(Flag.withDefault(false))
          },
          DeadLetters.replay
        ).pipe(Command.withDescription("Sends them to their topic again, as they were: those of a key, or all"))
      ])
    )
  ])
)

const issues = SchemaIssue.makeFormatterStandardSchemaV1()

/** `NAME: what is wrong with it`, for each setting that can't be read. */
const unreadable = ({ cause }: EffectConfig.ConfigError): string =>
  Schema.isSchemaError(cause)
    ? issues(cause.issue)
        .issues.map(({ message, path }) => `${(path ?? []).map(String).join(".")}: ${message}`)
        .join("; ")
    : cause.message

/** What the person at the command line can mend is told in a line; anything else is a defect with its cause. */
const explain = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (Cause.hasInterruptsOnly(cause) || CliError.isCliError(failure)) {
    // told to stop, or the command line has explained itself
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

command.pipe(
  Command.run({ version }),
  Effect.tapCause(explain),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    // being told to stop, and having stopped, is success, unless the program says otherwise
    teardown: (exit, onExit) => onExit(exitCode(exit))
  })
)
