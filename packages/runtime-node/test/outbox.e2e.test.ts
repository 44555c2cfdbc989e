/** What an operator types to see and to mend the outbox. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import { OutboxAdmin } from "@invoice/adapters/postgres"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, type Running, start, until } from "./Process.ts"

const entry = fileURLToPath(new URL("../src/bin/invoice.ts", import.meta.url))
const started: Array<Running> = []

const run = async (program: string, env: Readonly<Record<string, string>>): Promise<Running> => {
  const running = await start(program, env)
  started.push(running)
  return running
}

afterAll(async () => {
  await Promise.all(started.map((running) => running.stop()))
})

interface Printed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const invoice = async (env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>): Promise<Printed> => {
  const options = { env: { PATH: process.env["PATH"] ?? "", ...env } }
  try {
    const { stderr, stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=source", entry, ...args],
      options
    )
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stderr, stdout } = error as Printed
    return { code, stdout, stderr }
  }
}

interface Status {
  readonly lanes: ReadonlyArray<{ readonly lane: number; readonly owner: string | null; readonly events: number }>
  readonly parkedKeys: number
}

describe("invoice outbox", () => {
  it("shows what waits, changes the lanes once it is published, and says why it doesn't", async () => {
    const url = await freshDatabase(inject("postgresUrl"))
    const env = { DATABASE_URL: Redacted.value(url) }
    const storage = await run("storage", env)
    const remote = { STORAGE_ADDRESS: new URL(storage.url("grpc")).host }
    const api = await run("api", remote)
    for (let count = 0; count < 3; count++) {
      assert.strictEqual((await create(api.url("api"), Generators.document())).status, 200)
    }
    // the same through the storage program as on the database itself
    for (const way of [env, remote]) {
      const status: Status = JSON.parse((await invoice(way, "outbox", "status", "--json")).stdout)
      assert.deepStrictEqual(
        status.lanes.map(({ events, lane, owner }) => [lane, owner, events]),
        [[0, null, 3]]
      )
      assert.strictEqual(status.parkedKeys, 0)
    }
    const text = (await invoice(env, "outbox", "status")).stdout
    assert.match(text, /^lane {2}held by {2}epoch {2}events waiting {2}oldest\n0 +- +\d+ +3 +\d/u)
    assert.match(text, /parked keys: 0; oldest open transaction: \d/u)
    assert.strictEqual((await invoice(env, "outbox", "lanes")).stdout, "1\n")
    assert.deepStrictEqual(await invoice(env, "outbox", "lanes", "4"), {
      code: 1,
      stdout: "",
      stderr: "invoice: 4 lanes don't divide 6 partitions, so two lanes would share one\n"
    })
    const none = await invoice(env, "outbox", "replay", "nobody")
    assert.strictEqual(none.code, 1)
    assert.include(none.stderr, 'no event of the key "nobody" is parked')
    const relay = await run("relay", { ...env, KAFKA_BROKERS: inject("kafkaBrokers") })
    assert.deepStrictEqual(await invoice(env, "outbox", "lanes", "3"), {
      code: 0,
      stdout: "the outbox has 3 lanes now\n",
      stderr: ""
    })
    // the running relay takes all of them
    const status = await until(
      async (): Promise<Status> => JSON.parse((await invoice(env, "outbox", "status", "--json")).stdout),
      ({ lanes }) => lanes.length === 3 && lanes.every(({ events, owner }) => owner !== null && events === 0)
    )
    assert.strictEqual(new Set(status.lanes.map(({ owner }) => owner)).size, 1)
    const metrics = await (await fetch(`${relay.url("metrics")}/metrics`)).text()
    for (const name of ["outbox_lag_events", "outbox_lag_seconds", "outbox_lane_epoch"]) {
      assert.match(metrics, new RegExp(`^${name}\\{.*lane="0".*\\} \\d`, "mu"))
    }
    for (const name of ["outbox_oldest_transaction_seconds", "outbox_parked_keys"]) {
      assert.match(metrics, new RegExp(`^${name}(\\{.*\\})? \\d`, "mu"))
    }
  })

  it("finds a restored database: the relay isn't ready and says what to type, and then it goes on", async () => {
    const url = await freshDatabase(inject("postgresUrl"))
    const env = { DATABASE_URL: Redacted.value(url) }
    const api = await run("api", env)
    assert.strictEqual((await create(api.url("api"), Generators.document())).status, 200)
    await Effect.runPromise(
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update outbox_state set system_identifier = 42`).pipe(
        Effect.provide(OutboxAdmin.layer({ url }))
      )
    )
    const relay = await run("relay", { ...env, KAFKA_BROKERS: inject("kafkaBrokers") })
    const readiness = async (): Promise<string> => (await fetch(`${relay.url("metrics")}/readyz`)).text()
    await until(readiness, (text) => text.includes("invoice outbox restamp"))
    const restamped = await invoice(env, "outbox", "restamp")
    assert.strictEqual(restamped.stdout, "1 events wait to be published, 0 were published before\n")
    await until(readiness, (text) => text === '{"status":"ready"}')
    await until(
      async (): Promise<Status> => JSON.parse((await invoice(env, "outbox", "status", "--json")).stdout),
      ({ lanes }) => lanes[0]?.events === 0
    )
  })
})
