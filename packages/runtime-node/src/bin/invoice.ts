#!/usr/bin/env node
/** The command line: `invoice up | api | storage | relay | validator | migrate | outbox | dlq | validate | token`. */
import { InvoiceEvent } from "@invoice/core"
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Config from "../Config.ts"
import * as Observability from "../Observability.ts"
import * as AllInOne from "../programs/AllInOne.ts"
import * as Api from "../programs/Api.ts"
import * as Backends from "../programs/Backends.ts"
import * as DeadLetterCommands from "../programs/DeadLetterCommands.ts"
import * as Main from "../programs/Main.ts"
import * as OutboxCommands from "../programs/OutboxCommands.ts"
import * as ProfileModule from "../programs/ProfileModule.ts"
import type { Program } from "../programs/Program.ts"
import * as Relay from "../programs/Relay.ts"
import * as StartupError from "../programs/StartupError.ts"
import * as Storage from "../programs/Storage.ts"
import * as TokenCommand from "../programs/TokenCommand.ts"
import * as ValidateFiles from "../programs/ValidateFiles.ts"
import * as Validator from "../programs/Validator.ts"

const version = "0.1.0"

const migrate = Effect.gen(function* () {
  const settings = yield* Config.load
  yield* StartupError.noStorage("migrate", settings)
  const url = yield* StartupError.required("migrate", "DATABASE_URL", settings.databaseUrl)
  yield* Backends.migrate(url).pipe(Effect.provide(Observability.layer(settings, "migrate")))
  yield* Console.log("the schema is up to date")
})

const profile = Flag.String("profile").pipe(
  Flag.optional,
  Flag.withDescription("Module (.ts or .js) that exports a profile to judge by, instead of the core rules")
)

interface Judging {
  readonly profile: Option.Option<string>
}

/** A program with the option `--profile`: it judges invoices, or serves the RPC `Validate`. */
const judging =
  (name: string, make: (settings: Config.Settings) => Program) =>
  ({ profile }: Judging) =>
    Main.run(name, make, Option.isSome(profile) ? { profile } : {})

/** Reads files and no settings, so it runs on any machine. */
const validate = ({ profile, ...options }: Omit<ValidateFiles.Options, "profile"> & Judging) =>
  Effect.gen(function* () {
    const judging = Option.isSome(profile) ? { profile: yield* ProfileModule.load(profile.value) } : {}
    // until all files are judged: 128 + 2, the exit code of a program that SIGINT has ended
    process.exitCode = 130
    process.exitCode = yield* ValidateFiles.run({ ...options, ...judging }, process)
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

const token = Command.make(
  "token",
  {
    keys: Flag.String("keys").pipe(
      Flag.optional,
      Flag.withDescription("Directory with private.pem and public.pem; makes them when they aren't there")
    ),
    subject: Flag.String("subject").pipe(
      Flag.withDefault<string>("developer"),
      Flag.withDescription("Whom the token is for: the name that histories show")
    ),
    scope: Flag.String("scope").pipe(
      Flag.withDefault<string>("invoices:read invoices:write"),
      Flag.withDescription("What it allows: invoices:read, invoices:write, outbox:admin, internal")
    ),
    expires: Flag.String("expires").pipe(
      Flag.withDefault<string>("8h"),
      Flag.withDescription("How long it is valid: a number and s, m, h or d")
    )
  },
  TokenCommand.run
).pipe(
  Command.withDescription(
    "Prints a token to show to the programs, for development and for STORAGE_TOKEN. Signs with --keys, else JWT_PRIVATE_KEY, else JWT_SECRET; issuer and audience are as JWT_ISSUER and JWT_AUDIENCE say"
  ),
  Command.withShortDescription("Prints a token, for development"),
  Command.withExamples([
    { command: "invoice token --keys keys", description: "Makes keys/private.pem and keys/public.pem at first" },
    {
      command: "invoice token --keys keys --subject relay --scope internal --expires 30d",
      description: "For STORAGE_TOKEN"
    },
    { command: "JWT_SECRET=… invoice token", description: "With the shared secret" }
  ])
)

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
    Command.make("up", { profile }, judging("up", AllInOne.make)).pipe(
      Command.withDescription("Everything in one process; runs without any setting")
    ),
    Command.make("api", { profile }, judging("api", Api.make)).pipe(
      Command.withDescription("REST, Connect and gRPC, on Postgres or on a storage program")
    ),
    Command.make("storage", { profile }, judging("storage", Storage.make)).pipe(
      Command.withDescription("The store and the outbox over gRPC, for the other programs")
    ),
    Command.make("relay", {}, () => Main.run("relay", Relay.make)).pipe(
      Command.withDescription("Moves committed events from Postgres to Kafka")
    ),
    Command.make("validator", { profile }, judging("validator", Validator.make)).pipe(
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
        ),
        profile
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
    token,
    Command.make("outbox").pipe(
      Command.withDescription("The outbox: committed events on their way to the broker"),
      Command.withSubcommands([
        Command.make("status", { json }, OutboxCommands.status).pipe(
          Command.withDescription("Prints the lanes, who holds them, and what waits in them")
        ),
        Command.make("parked", { json }, OutboxCommands.parked).pipe(
          Command.withDescription("Lists the keys whose events are held back because the broker refused one of them")
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
            "After a restore from a dump: finds out by the old positions which events wait. --upgraded: after pg_upgrade, which keeps transaction ids"
          )
        )
      ])
    ),
    Command.make("dlq").pipe(
      Command.withDescription("Dead letters: messages that could not be handled, on <topic>.dlq"),
      Command.withSubcommands([
        Command.make("list", { topic, json }, DeadLetterCommands.list).pipe(
          Command.withDescription(
            "Lists the dead letters that were not sent again: partition/offset, time, kind, key, reason"
          )
        ),
        Command.make(
          "replay",
          {
            topic,
            key: Flag.String("key").pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
            all: Flag.Boolean("all").pipe(Flag.withDefault(false))
          },
          DeadLetterCommands.replay
        ).pipe(
          Command.withDescription("Sends the dead letters of a key, or all of them, to their topic again, unchanged")
        )
      ])
    )
  ])
)

Main.main(Command.run(command, { version }))
