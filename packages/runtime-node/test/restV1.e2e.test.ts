import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { type IncomingMessage, request } from "node:http"
import { createInterface } from "node:readline"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import { createClient } from "@invoice/client"
import * as Generators from "@invoice/testing/Generators"
import { Redacted } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, type Running, start } from "./Process.ts"

const started: Array<Running> = []

afterAll(async () => {
  await Promise.all(started.map((running) => running.stop("SIGKILL")))
})

const run = async (env: Readonly<Record<string, string>>): Promise<Running> => {
  const running = await start("api", env)
  started.push(running)
  return running
}

/** Resident memory of a process, in MB. */
const residentMegabytes = async ({ child }: Running): Promise<number> => {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8")
  return Number(/VmRSS:\s+(\d+) kB/u.exec(status)?.[1]) / 1_024
}

/** `IMPORT_LINES=100000` for the long form. */
const lines = Number(process.env["IMPORT_LINES"] ?? 20_000)

/** Bytes of a line: most of them are spaces, so that the body is much larger than the memory that it may take. */
const lineBytes = 8_192

describe.runIf(process.platform === "linux")("an import over REST v1", () => {
  it("stores any number of lines in memory that does not grow with them, and answers unchanged for what was there", async () => {
    const database = await freshDatabase(inject("postgresUrl"))
    const api = await run({
      DATABASE_URL: Redacted.value(database),
      // with its default limits V8 collects later, and garbage would hide what is held
      NODE_OPTIONS: "--max-old-space-size=128 --max-semi-space-size=8"
    })
    const text = JSON.stringify(Generators.document({ notes: "" }))
    const prefix = crypto.randomUUID().slice(0, 24)
    const lineOf = (index: number) => {
      const id = prefix + index.toString(16).padStart(12, "0")
      return `${JSON.stringify({ ...JSON.parse(text), id }).padEnd(lineBytes - 1)}\n`
    }
    const importLines = async (count: number) => {
      const client = request(`${api.url("api")}/v1/invoices:import`, {
        method: "POST",
        headers: { "content-type": "application/x-ndjson" }
      })
      const answered = once(client, "response") as Promise<[IncomingMessage]>
      const sending = (async () => {
        for (let index = 0; index < count; index++) {
          if (!client.write(lineOf(index))) await once(client, "drain")
        }
        client.end()
      })()
      const outcomes = new Map<string, number>()
      let line = 0
      let most = 0
      for await (const result of createInterface({ input: (await answered)[0] })) {
        const { line: answeredLine, outcome } = JSON.parse(result)
        assert.strictEqual(answeredLine, ++line)
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        if (line % 1_000 === 0) most = Math.max(most, await residentMegabytes(api))
      }
      await sending
      return { outcomes: Object.fromEntries(outcomes), most }
    }
    // the first thousands warm the program up
    assert.deepStrictEqual((await importLines(5_000)).outcomes, { Created: 5_000 })
    const before = await residentMegabytes(api)
    const { most, outcomes } = await importLines(lines)
    assert.deepStrictEqual(outcomes, { Unchanged: 5_000, Created: lines - 5_000 })
    assert.isBelow(most - before, 100, `megabytes more than the ${before} before`)
  }, 600_000)
})

describe("the events of REST v1", () => {
  it("reach a client across stops and kills of the server, none missed and none twice", async () => {
    const database = await freshDatabase(inject("postgresUrl"))
    let server = await run({ DATABASE_URL: Redacted.value(database) })
    const addresses = { DATABASE_URL: Redacted.value(database), HTTP_ADDRESS: new URL(server.url("api")).host }
    const controller = new AbortController()
    const seen: Array<string> = []
    const sent: Array<string> = []
    let done = false
    const client = createClient({ baseUrl: server.url("api") })
    const watching = (async () => {
      for await (const { change } of client.events({ from: "beginning", signal: controller.signal })) {
        seen.push(change.id)
        if (done && seen.length >= sent.length) break
      }
    })()
    for (const signal of ["SIGTERM", "SIGKILL", "SIGTERM"] as const) {
      for (let part = 0; part < 5; part++) {
        const documents = Array.from({ length: 20 }, () => Generators.document())
        const answers = await Promise.all(documents.map((document) => create(server.url("api"), document)))
        assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
        sent.push(...documents.map(({ id }) => String(id)))
      }
      await server.stop(signal)
      server = await run(addresses)
    }
    done = true
    const last = Generators.document()
    await create(server.url("api"), last)
    sent.push(String(last["id"]))
    await watching
    controller.abort()
    assert.strictEqual(seen.length, sent.length)
    assert.deepStrictEqual(new Set(seen), new Set(sent))
  }, 240_000)
})
