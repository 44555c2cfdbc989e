/** A store that answers and takes no verdicts: the validator waits, says so, and goes on by itself. */
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Redacted } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, decided, type Running, start, until } from "./Process.ts"

const started: Array<Running> = []

const run = async (program: string, env: Readonly<Record<string, string>>): Promise<Running> => {
  const running = await start(program, env)
  started.push(running)
  return running
}

afterAll(async () => {
  await Promise.all(started.map((running) => running.stop()))
})

const together = async (url: string) => {
  const all = await run("up", { DATABASE_URL: url })
  return { api: all, validator: all }
}

const throughStorage = async (url: string) => {
  const storage = await run("storage", { DATABASE_URL: url })
  const env = { STORAGE_ADDRESS: new URL(storage.url("grpc")).host, KAFKA_BROKERS: inject("kafkaBrokers") }
  const [api, validator] = await Promise.all([run("api", env), run("validator", env), run("relay", env)])
  return { api, validator }
}

const readiness = async (running: Running): Promise<{ readonly status: number; readonly text: string }> => {
  const answer = await fetch(`${running.url("metrics")}/readyz`)
  return { status: answer.status, text: await answer.text() }
}

describe.each([
  ["in one process", together],
  ["over a storage program", throughStorage]
])("the validator %s", (_, programs) => {
  it("is not ready while the disk is full, makes no dead letter, and gives the verdict afterwards", async () => {
    const url = await freshDatabase(inject("postgresUrl"))
    const sql = (statement: string) =>
      Effect.runPromise(
        Effect.flatMap(PgClient.PgClient, (client) => client.unsafe(statement)).pipe(
          Effect.provide(PgClient.layer({ url, maxConnections: 1 }))
        )
      )
    const { api, validator } = await programs(Redacted.value(url))
    await until(
      () => readiness(validator),
      ({ status }) => status === 200
    )
    await sql(`create function full_disk() returns trigger language plpgsql as
      $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$`)
    await sql("create trigger full_disk before update on invoice for each row execute function full_disk()")
    const document = Generators.document()
    assert.strictEqual((await create(api.url("api"), document)).status, 200)
    const { text } = await until(
      () => readiness(validator),
      ({ status }) => status === 503
    )
    assert.include(text, "validator: the invoice store is not available")
    await sql("drop trigger full_disk on invoice")
    assert.strictEqual((await decided(api.url("api"), document["id"]))["status"], "Approved")
    await until(
      () => readiness(validator),
      ({ status }) => status === 200
    )
    assert.notInclude(validator.output(), "message to dead letters")
  })
})
