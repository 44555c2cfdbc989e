/** `invoice up` when its embedded Postgres is killed, for a moment and for good. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"
import { create, dataDir, decided, get, type Running, start, until } from "./Process.ts"

let directory: Awaited<ReturnType<typeof dataDir>>

beforeEach(async () => {
  directory = await dataDir()
})

afterEach(() => directory.remove())

const postmaster = async (path: string): Promise<number> =>
  Number((await readFile(join(path, "postgres", "postmaster.pid"), "utf8")).split("\n")[0])

/** Creates one invoice after the other until `ends`; answers the ids that were acknowledged. */
const creating = async (api: string, ends: () => boolean): Promise<ReadonlyArray<unknown>> => {
  const acknowledged: Array<unknown> = []
  while (!ends()) {
    const document = Generators.document()
    const { status } = await create(api, document)
    assert.include([200, 503], status)
    if (status === 200) acknowledged.push(document["id"])
  }
  return acknowledged
}

const statusOf = async (url: string): Promise<number> => (await fetch(url)).status

describe("invoice up", () => {
  it("serves again after its Postgres was killed, and has lost nothing that it acknowledged", async () => {
    const up: Running = await start("up", { DATA_DIR: directory.path })
    try {
      const api = up.url("api")
      let isOver = false
      const writers = Array.from({ length: 4 }, () => creating(api, () => isOver))
      const before = Generators.document()
      assert.strictEqual((await create(api, before)).status, 200)
      for (let round = 0; round < 2; round++) {
        const pid = await postmaster(directory.path)
        process.kill(pid, "SIGKILL")
        await until(
          () => postmaster(directory.path),
          (other) => other !== pid
        )
        await until(
          () => statusOf(`${api}/readyz`),
          (status) => status === 200
        )
        assert.strictEqual((await create(api, Generators.document())).status, 200)
      }
      isOver = true
      const acknowledged = [before["id"], ...(await Promise.all(writers)).flat()]
      for (const id of acknowledged) assert.strictEqual((await get(api, id)).status, 200, String(id))
      // the relay and the validator go on too
      await decided(api, acknowledged.at(-1))
    } finally {
      await up.stop()
    }
  })
})

const main = new URL("../src/programs/Main.ts", import.meta.url).href

describe("a program", () => {
  it("that has lost what it can't run without says so and ends with exit code 1", async () => {
    const script = `import { Effect } from "effect"
      import { start } from ${JSON.stringify(main)}
      start("test", () => Effect.succeed({ urls: {}, lost: Effect.fail(new Error("the store is gone")) }))`
    const child = spawn(process.execPath, ["--conditions=source", "--input-type=module", "-e", script], {
      cwd: new URL("..", import.meta.url),
      stdio: ["ignore", "ignore", "pipe"]
    })
    const said = text(child.stderr)
    const [code] = await once(child, "exit")
    assert.strictEqual(code, 1)
    assert.strictEqual(await said, "invoice: the store is gone\n")
  })
})

describe("EmbeddedPostgres", () => {
  it.live("is lost when it can't be started again in time", () =>
    Effect.gen(function* () {
      const { lost } = yield* EmbeddedPostgres.make({ dataDir: directory.path, giveUpMillis: 300 })
      const pid = yield* Effect.promise(() => postmaster(directory.path))
      yield* Effect.promise(() => rename(join(directory.path, "postgres"), join(directory.path, "moved")))
      process.kill(pid, "SIGKILL")
      const { message } = yield* Effect.flip(lost)
      assert.include(message, "embedded Postgres ended unexpectedly (SIGKILL)")
      assert.include(message, "it can't be started again")
    }).pipe(Effect.scoped)
  )
})
