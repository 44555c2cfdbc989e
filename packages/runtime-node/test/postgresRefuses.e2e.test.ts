/** What clients of a program are told while a real Postgres refuses its statements or its connections. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, beforeAll, describe, inject, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Redacted } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, type Running, start, until } from "./Process.ts"

/** The program's role owns the database and is not a superuser, whom limits don't hold. */
const role = `role_${randomUUID().replaceAll("-", "")}`
let admin: Redacted.Redacted
let program: Running
let api: string

const run = (statement: string): Promise<unknown> =>
  Effect.runPromise(
    Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(statement)).pipe(
      Effect.provide(PgClient.layer({ url: admin, maxConnections: 1 }))
    )
  )

beforeAll(async () => {
  admin = await freshDatabase(inject("postgresUrl"))
  const url = new URL(Redacted.value(admin))
  await run(`create role ${role} login password '${role}'`)
  await run(`alter database ${url.pathname.slice(1)} owner to ${role}`)
  url.username = role
  url.password = role
  program = await start("api", { DATABASE_URL: url.href })
  api = program.url("api")
  await run("create table harm (code text)")
  await run(`create function harm() returns trigger language plpgsql security definer as $$
    declare state text := (select code from harm);
    begin
      if state is not null then raise exception 'harm' using errcode = state; end if;
      return new;
    end $$`)
  await run("create trigger harm before insert on invoice for each row execute function harm()")
})

afterAll(() => program?.stop())

/** Creates an invoice: the status, and when to try again. */
const created = async (): Promise<readonly [number, string | null]> => {
  const response = await fetch(`${api}/api/invoice/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ invoice: Generators.document() })
  })
  await response.text()
  return [response.status, response.headers.get("retry-after")]
}

/** Gets an invoice over Connect: the status and the code. */
const got = async (): Promise<readonly [number, unknown]> => {
  const response = await fetch(`${api}/invoice.v1.InvoiceService/Get`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: randomUUID() })
  })
  const { code }: { readonly code?: unknown } = JSON.parse(await response.text())
  return [response.status, code]
}

const isServed = () =>
  until(
    () => create(api, Generators.document()),
    ({ status }) => status === 200
  )

const disconnected = `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`

describe("while Postgres refuses", () => {
  it.each(["53000", "53100", "53200", "53400", "57P01", "57P02", "57P03", "58000", "58030", "58P01", "25006"])(
    "statements with %s a client may try again, and then succeeds",
    async (code) => {
      await run(`insert into harm values ('${code}')`)
      assert.deepStrictEqual(await created(), [503, "1"])
      await run("delete from harm")
      assert.deepStrictEqual(await created(), [200, null])
    }
  )

  it("connections, since it has too many, a client may try again, and then succeeds", async () => {
    await isServed()
    await run(`alter role ${role} connection limit 0`)
    await run(disconnected)
    assert.deepStrictEqual(await until(created, ([status]) => status !== 200), [503, "1"])
    assert.deepStrictEqual(await got(), [503, "unavailable"])
    assert.strictEqual((await fetch(`${api}/readyz`)).status, 503)
    assert.strictEqual((await fetch(`${api}/healthz`)).status, 200)
    await run(`alter role ${role} connection limit -1`)
    await isServed()
  })

  it("and ends connections under load, each request is answered with 200 or with 503, never with 500", async () => {
    await isServed()
    let isOver = false
    const statuses = new Set<number>()
    const clients = Array.from({ length: 8 }, async () => {
      while (!isOver) statuses.add((await created())[0])
    })
    for (let round = 0; round < 20; round++) await run(disconnected)
    isOver = true
    await Promise.all(clients)
    assert.deepStrictEqual(
      [...statuses].filter((status) => status !== 200 && status !== 503),
      []
    )
    await isServed()
  })
})
