import { execFile } from "node:child_process"
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"

/** The folder of a planted file, and its one line. */
type Plant = readonly [folder: string, line: string]

const core = "packages/core/src"
const testing = "packages/testing/src"
const memory = "packages/adapters/src/memory"
const postgres = "packages/adapters/src/postgres"
const kafka = "packages/adapters/src/kafka"
const connect = "packages/adapters/src/connect"
const runtime = "packages/runtime-node/src"

const imports = "lint/style/noRestrictedImports"
const environment = "lint/style/noProcessEnv"

const forbidden: ReadonlyArray<readonly [rule: string, ...Plant]> = [
  [imports, core, `import { Arbitrary } from "effect"`],
  [imports, core, `import { type Graph, Option } from "effect"`],
  [imports, core, `import type { FileSystem } from "effect"`],
  [imports, core, `import * as Everything from "effect"`],
  [imports, core, `export * from "effect"`],
  [imports, core, `import { HttpServer } from "effect/http"`],
  [imports, core, `import * as Effect from "effect/Effect"`],
  [imports, core, `import { readFile } from "node:fs/promises"`],
  [imports, core, `import { Buffer } from "node:buffer"`],
  [imports, core, `import fs from "fs"`],
  [imports, core, `import { Kafka } from "kafkajs"`],
  [imports, core, `import type { Kafka } from "kafkajs"`],
  [imports, core, `export { Kafka } from "kafkajs"`],
  [imports, core, `export const kafka = import("kafkajs")`],
  [imports, core, `import { PgClient } from "@effect/sql-pg"`],
  [imports, core, `import { suite } from "@invoice/testing"`],
  [imports, core, `import { layer } from "@invoice/adapters/memory"`],
  [imports, core, `import { load } from "@invoice/runtime-node/Config"`],
  [imports, core, `import { layer } from "../../adapters/src/memory/index.ts"`],
  [imports, `${core}/rules`, `import { layer } from "../../../adapters/src/memory/index.ts"`],
  [imports, `${core}/ports`, `import { Kafka } from "kafkajs"`],
  ["plugin", core, `export type Client = import("kafkajs").Kafka`],
  ["lint/style/noCommonJs", core, `export const kafka = require("kafkajs")`],
  [environment, core, `export const url = process.env.DATABASE_URL`],

  [imports, testing, `import { layer } from "@invoice/adapters/memory"`],
  [imports, testing, `import { load } from "@invoice/runtime-node/Config"`],
  [imports, testing, `import { readFile } from "node:fs/promises"`],
  [imports, testing, `import { Kafka } from "kafkajs"`],
  [imports, testing, `import { PgClient } from "@effect/sql-pg"`],
  [imports, testing, `import { parse } from "../../core/src/Decimal.ts"`],
  [environment, testing, `export const seed = process.env.SEED`],

  [imports, memory, `import { Kafka } from "kafkajs"`],
  [imports, memory, `import { PgClient } from "@effect/sql-pg"`],
  [imports, memory, `import { suite } from "@invoice/testing"`],
  [imports, memory, `import { layer } from "../kafka/index.ts"`],
  [imports, memory, `import { layer } from "./../postgres/index.ts"`],
  [imports, memory, `import { layer } from "@invoice/adapters/kafka"`],
  [imports, memory, `import { load } from "@invoice/runtime-node/Config"`],
  [imports, postgres, `import { Kafka } from "kafkajs"`],
  [imports, postgres, `import pg from "pg"`],
  [imports, postgres, `import { layer } from "../memory/index.ts"`],
  [imports, postgres, `export * as Kafka from "../kafka/index.ts"`],
  [imports, postgres, `import { layer } from "@invoice/adapters/memory"`],
  [imports, `${postgres}/migrations`, `import { layer } from "../../kafka/index.ts"`],
  [imports, `${postgres}/migrations`, `import { Kafka } from "kafkajs"`],
  [imports, kafka, `import { PgClient } from "@effect/sql-pg"`],
  [imports, kafka, `import { collectDefaultMetrics } from "prom-client"`],
  [imports, kafka, `import { layer } from "../postgres/index.ts"`],
  [imports, kafka, `import { layer } from "@invoice/adapters/postgres"`],
  [imports, kafka, `import { load } from "@invoice/runtime-node/Config"`],
  [imports, kafka, `import { load } from "../../../runtime-node/src/Config.ts"`],
  [imports, kafka, `import { env } from "node:process"`],
  [environment, kafka, `export const brokers = process.env["KAFKA_BROKERS"]`],
  ["plugin", kafka, `const { env: brokers } = process; export { brokers }`],
  [imports, connect, `import { createGrpcTransport } from "@connectrpc/connect-node"`],
  [imports, connect, `import { randomUUID } from "node:crypto"`],
  [imports, connect, `import { Kafka } from "kafkajs"`],
  [imports, connect, `import { layer } from "../postgres/index.ts"`],
  [imports, connect, `import { layer } from "@invoice/adapters/memory"`],
  [imports, connect, `import { load } from "@invoice/runtime-node/Config"`],
  [environment, connect, `export const url = process.env["STORAGE_ADDRESS"]`],
  // a folder that no rule names has no driver
  [imports, "packages/adapters/src/rabbit", `import amqp from "amqplib"`],
  [imports, "packages/adapters/src/rabbit", `import { layer } from "../kafka/index.ts"`],

  [environment, runtime, `export const url = process.env.DATABASE_URL`],
  [environment, `${runtime}/programs`, `export const url = process.env.DATABASE_URL`],
  [imports, runtime, `import { env } from "node:process"`]
]

const allowed: ReadonlyArray<Plant> = [
  [core, `export { BigDecimal, Context, Effect, Layer, Option, Result, Schema, Stream, pipe } from "effect"`],
  [core, `export type { Redacted } from "effect"`],
  [core, `export * as Decimal from "./Decimal.ts"`],
  [`${core}/ports`, `export type { InvoiceEvent } from "../InvoiceEvent.ts"`],
  [testing, `export { Arbitrary, Effect } from "effect"`],
  [testing, `export { TestClock } from "effect/testing"`],
  [testing, `export { describe } from "vitest"`],
  [testing, `export { it } from "@effect/vitest"`],
  [testing, `export { InvoiceStore } from "@invoice/core/ports/InvoiceStore"`],
  [testing, `export { InvoiceStore } from "@invoice/core"`],
  [memory, `export { InvoiceStore } from "@invoice/core"`],
  [memory, `export { SqlClient } from "effect/sql"`],
  [memory, `export { randomUUID } from "node:crypto"`],
  [memory, `export * as Broker from "./Broker.ts"`],
  [postgres, `export { PgClient } from "@effect/sql-pg"`],
  [postgres, `export * as PgMigrator from "@effect/sql-pg/PgMigrator"`],
  [postgres, `export { setTimeout } from "node:timers/promises"`],
  [postgres, `export * as Initial from "./migrations/0001_initial.ts"`],
  [`${postgres}/migrations`, `export * as Sql from "../Sql.ts"`],
  [kafka, `export { Kafka } from "kafkajs"`],
  [connect, `export { ConnectError } from "@connectrpc/connect"`],
  [connect, `export { createConnectTransport } from "@connectrpc/connect-web"`],
  [connect, `export { TimestampSchema } from "@bufbuild/protobuf/wkt"`],
  [connect, `export { InvoiceSchema } from "./gen/invoice/v1/invoice_pb.ts"`],
  [runtime, `export { layer } from "@invoice/adapters/postgres"`],
  [runtime, `export { NodeRuntime } from "@effect/platform-node"`],
  [runtime, `export { register } from "prom-client"`],
  [`${runtime}/bin`, `export const home = process.env.HOME`],
  ["test/infra", `export const brokers = process.env.KAFKA_BROKERS`],
  ["bench/src", `export { load } from "@invoice/runtime-node/Config"`],
  ["packages/core/test", `export { validInvoice } from "@invoice/testing"`]
]

const root = fileURLToPath(new URL("../..", import.meta.url))
const biome = join(dirname(createRequire(import.meta.url).resolve("@biomejs/biome/package.json")), "bin/biome")

const fileOf = (kind: string, index: number, [folder]: Plant): string => `${folder}/${kind}${index}.ts`

interface Report {
  readonly diagnostics: ReadonlyArray<{ readonly category: string; readonly location: { readonly path: string } }>
}

const plantOf = ([, folder, line]: (typeof forbidden)[number]): Plant => [folder, line]

describe("dependency rules", () => {
  let directory = ""
  /** What the linter says of each planted file: one run serves all tests. */
  const found = new Map<string, Array<string>>()

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "dependency-rules-"))
    const config = JSON.parse(await readFile(join(root, "biome.json"), "utf8"))
    await writeFile(join(directory, "biome.json"), JSON.stringify({ ...config, vcs: { enabled: false } }))
    await cp(join(root, "scripts/lint"), join(directory, "scripts/lint"), { recursive: true })
    const files = [
      ...forbidden.map((row, index) => [fileOf("forbidden", index, plantOf(row)), row[2]] as const),
      ...allowed.map((row, index) => [fileOf("allowed", index, row), row[1]] as const)
    ]
    for (const [file, line] of files) {
      await mkdir(dirname(join(directory, file)), { recursive: true })
      await writeFile(join(directory, file), `${line}\n`)
    }
    const report = await new Promise<string>((resolve) => {
      // it exits with 1 because of the plants
      execFile(
        process.execPath,
        [biome, "lint", "--reporter=json", "--max-diagnostics=none", "."],
        { cwd: directory, maxBuffer: 2 ** 26 },
        (_, stdout) => resolve(stdout)
      )
    })
    for (const { category, location } of (JSON.parse(report) as Report).diagnostics) {
      found.set(location.path, [...(found.get(location.path) ?? []), category])
    }
  }, 30_000)

  afterAll(() => rm(directory, { recursive: true, force: true }))

  describe("the linter refuses", () => {
    forbidden.forEach((row, index) => {
      it(`${row[1]}: ${row[2]}`, () => {
        assert.include(found.get(fileOf("forbidden", index, plantOf(row))) ?? [], row[0])
      })
    })
  })

  describe("the linter allows", () => {
    allowed.forEach((row, index) => {
      it(`${row[0]}: ${row[1]}`, () => {
        assert.deepEqual(found.get(fileOf("allowed", index, row)) ?? [], [])
      })
    })
  })

  it("the core may import exactly the modules of effect that are tagged stable", async () => {
    const source = join(dirname(fileURLToPath(import.meta.resolve("effect"))), "../src")
    const index = await readFile(join(source, "index.ts"), "utf8")
    const stable: Array<string> = []
    // each export of the index has a documentation comment with its tag before it
    for (const [, comment, module, name] of index.matchAll(
      /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:export \* as (\w+) from|(\w+)[,\s])/gu
    )) {
      if (comment?.includes("@stability stable") && name !== "export") stable.push(module ?? name ?? "")
    }
    const config = JSON.parse(await readFile(join(root, "biome.json"), "utf8"))
    const override = config.overrides.find((entry: { includes: ReadonlyArray<string> }) =>
      entry.includes.includes(`${core}/**`)
    )
    const names: ReadonlyArray<string> =
      override.linter.rules.style.noRestrictedImports.options.paths.effect.allowImportNames
    assert.isAbove(stable.length, 100)
    assert.deepEqual([...names].sort(), stable.sort())
  })
})
