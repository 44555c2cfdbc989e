import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Redacted } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { connect } from "../../../test/programs/Sql.ts"
import * as AnswerTap from "./AnswerTap.ts"
import { type Answer, post, type Running, start, until } from "./Process.ts"

const closing: Array<() => Promise<unknown>> = []

afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const run = async (program: string, env: Readonly<Record<string, string>>): Promise<Running> => {
  const running = await start(program, env)
  closing.push(() => running.stop("SIGKILL"))
  return running
}

const tap = async (target: string): Promise<AnswerTap.AnswerTap> => {
  const made = await AnswerTap.listen(Number(new URL(target).port))
  closing.push(made.close)
  return made
}

const query = (url: string) => {
  const sql = connect(url, 1)
  closing.push(sql.close)
  return sql.query
}

const counts = `select (select count(*) from invoice)::int as invoices,
  (select count(*) from invoice_history)::int as changes,
  (select count(*) from outbox_event)::int as events`

const withoutId = (): Record<string, unknown> => {
  const { id: _, ...document } = Generators.document()
  return document
}

const createAs = (url: string, key: string, document: unknown): Promise<Answer> =>
  post(`${url}/v1/invoices`, JSON.stringify(document), {
    "content-type": "application/json",
    // so that the bytes on the wire are the answer
    "accept-encoding": "identity",
    "idempotency-key": key
  })

describe("a create with an Idempotency-Key, sent again after kill -9", () => {
  it("is answered byte for byte as the answer that did not arrive", async () => {
    const database = Redacted.value(await freshDatabase(inject("postgresUrl")))
    const sql = query(database)
    const document = withoutId()
    const killed = await run("api", { DATABASE_URL: database })
    const proxy = await tap(killed.url("api"))
    proxy.holdFrom("POST /v1/invoices")
    const lost = createAs(`http://127.0.0.1:${proxy.port}`, "order-17", document).then(
      () => "answered",
      () => "no answer"
    )
    // the whole answer: its body ends with the invoice's last brace
    await until(
      async () => proxy.held(),
      (held) => /^HTTP\/1\.1 201 [\s\S]*\r\n\r\n[\s\S]*\}\s*(?:0\r\n\r\n)?$/u.test(held)
    )
    assert.strictEqual(await killed.stop("SIGKILL"), "SIGKILL")
    assert.strictEqual(await lost, "no answer")

    const again = await run("api", { DATABASE_URL: database })
    const answer = await createAs(again.url("api"), "order-17", document)
    assert.strictEqual(answer.status, 201, answer.text)
    const [, body] = proxy.held().split("\r\n\r\n")
    assert.strictEqual(answer.text, body)
    assert.deepStrictEqual(await sql(counts), [{ invoices: 1, changes: 1, events: 1 }])
    const other = await createAs(again.url("api"), "order-17", { ...document, notes: "other" })
    assert.strictEqual(other.status, 422)
  })

  it("makes one invoice and one event when the server was killed before it knew of the commit", async () => {
    const database = Redacted.value(await freshDatabase(inject("postgresUrl")))
    const sql = query(database)
    const document = withoutId()
    const proxy = await tap(database)
    const throughProxy = new URL(database)
    throughProxy.host = `127.0.0.1:${proxy.port}`
    const killed = await run("api", { DATABASE_URL: throughProxy.href })
    // one statement, which commits by itself
    proxy.holdFrom("insert into idempotency_key")
    const lost = createAs(killed.url("api"), "order-18", document).then(
      () => "answered",
      () => "no answer"
    )
    await until(
      () => sql(counts),
      ([row]) => row?.["invoices"] === 1
    )
    assert.strictEqual(await killed.stop("SIGKILL"), "SIGKILL")
    assert.strictEqual(await lost, "no answer")

    const again = await run("api", { DATABASE_URL: database })
    const first = await createAs(again.url("api"), "order-18", document)
    assert.strictEqual(first.status, 201, first.text)
    assert.deepStrictEqual(await createAs(again.url("api"), "order-18", document), first)
    assert.deepStrictEqual(await sql(counts), [{ invoices: 1, changes: 1, events: 1 }])
    const [row] = await sql("select id::text from invoice")
    assert.strictEqual(JSON.parse(first.text).id, row?.["id"])
  })
})

describe("lists and conditions while invoices come and are judged", () => {
  const walk = async (url: string): Promise<ReadonlyArray<string>> => {
    const ids: Array<string> = []
    let path: string | undefined = "/v1/invoices?limit=50"
    while (path !== undefined) {
      const response: Response = await fetch(url + path)
      assert.strictEqual(response.status, 200)
      const { invoices } = (await response.json()) as { readonly invoices: ReadonlyArray<{ readonly id: string }> }
      ids.push(...invoices.map(({ id }) => id))
      path = /^<(.*)>; rel="next"$/u.exec(response.headers.get("link") ?? "")?.[1]
    }
    return ids
  }

  it("a walk by Link has every invoice that was there at its start once, while 1,000 are created", async () => {
    const database = Redacted.value(await freshDatabase(inject("postgresUrl")))
    const url = (await run("up", { DATABASE_URL: database })).url("api")
    const stored: Array<string> = []
    const create = async () => {
      const document = Generators.document()
      const { status, text } = await post(`${url}/v1/invoices`, JSON.stringify(document))
      assert.strictEqual(status, 201, text)
      stored.push(String(document["id"]))
    }
    const createMany = async (count: number) => {
      for (let made = 0; made < count; made++) await create()
    }
    await Promise.all(Array.from({ length: 8 }, () => createMany(25)))
    let creating = true
    const inserts = Promise.all(Array.from({ length: 8 }, () => createMany(125))).finally(() => {
      creating = false
    })
    let walks = 0
    while (creating) {
      const before = stored.slice()
      const seen = await walk(url)
      const once = new Set(seen)
      assert.strictEqual(once.size, seen.length, "an invoice came twice")
      assert.deepStrictEqual(
        before.filter((id) => !once.has(id)),
        [],
        "invoices that were missed"
      )
      if (creating) walks++
    }
    await inserts
    assert.isAbove(walks, 0)
    assert.deepStrictEqual((await walk(url)).toSorted(), stored.toSorted())

    // the verdict makes a new version, so that the ETag of the create is stale
    const path = `${url}/v1/invoices/${stored[0]}`
    await until(
      async () => (await fetch(path)).headers.get("etag"),
      (etag) => etag === '"2"'
    )
    const conditional = async (name: string, etag: string) => {
      const response = await fetch(path, { headers: { [name]: etag } })
      await response.text()
      return response.status
    }
    assert.deepStrictEqual([await conditional("if-match", '"1"'), await conditional("if-match", '"2"')], [412, 200])
    assert.deepStrictEqual(
      [await conditional("if-none-match", '"1"'), await conditional("if-none-match", '"2"')],
      [200, 304]
    )
  })
})
