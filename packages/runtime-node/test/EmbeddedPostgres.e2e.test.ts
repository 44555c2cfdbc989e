import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Redacted, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { dataDir } from "./Process.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => dataDir()),
  ({ remove }) => Effect.promise(() => remove())
).pipe(Effect.map(({ path }) => path))

const query = (url: Redacted.Redacted, text: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.unsafe(text)
  }).pipe(Effect.provide(PgClient.layer({ url, maxConnections: 1 })))

const source = new URL("../src/embedded/EmbeddedPostgres.ts", import.meta.url).href

/** Runs Postgres in a process of its own, fills a table and kills that process; answers the Postgres that stays. */
const orphan = async (path: string): Promise<number> => {
  const script = `import { Effect, Redacted } from "effect"
    import { make } from ${JSON.stringify(source)}
    await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
      const { url } = yield* make({ dataDir: ${JSON.stringify(path)} })
      console.log(Redacted.value(url))
      yield* Effect.never
    })))`
  const child = spawn(process.execPath, ["--conditions=source", "--input-type=module", "-e", script], {
    cwd: new URL("..", import.meta.url),
    stdio: ["ignore", "pipe", "inherit"]
  })
  const exit = once(child, "exit")
  const [url] = await Promise.race([once(child.stdout, "data"), exit])
  await Effect.runPromise(query(Redacted.make(String(url).trim()), "create table kept as select 42 as answer"))
  child.kill("SIGKILL")
  await exit
  return Number((await readFile(join(path, "postgres", "postmaster.pid"), "utf8")).split("\n")[0])
}

const runs = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("EmbeddedPostgres", () => {
  it.live("a second start on a directory in use is refused, and says by whom", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* EmbeddedPostgres.make({ dataDir: path })
      const error = yield* Effect.flip(EmbeddedPostgres.make({ dataDir: path }))
      assert.include(error.message, `another invoice process (pid ${process.pid})`)
      assert.include(error.message, path)
      assert.include(error.message, "DATA_DIR")
    }).pipe(Effect.scoped)
  )

  it.live("data survives a restart, and a lock whose number went to another process is taken over", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { url } = yield* EmbeddedPostgres.make({ dataDir: path })
          yield* query(url, "create table kept as select 42 as answer")
        })
      )
      const stale = JSON.stringify({ pid: process.pid, started: "another start" })
      yield* Effect.promise(() => writeFile(join(path, "invoice.lock"), stale))
      const { url } = yield* EmbeddedPostgres.make({ dataDir: path })
      assert.deepStrictEqual(yield* query(url, "select answer from kept"), [{ answer: 42 }])
    }).pipe(Effect.scoped)
  )

  it.live("the Postgres of a killed process is stopped before the next one starts, and its data is kept", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const left = yield* Effect.promise(() => orphan(path))
      assert.isTrue(runs(left))
      const { url } = yield* EmbeddedPostgres.make({ dataDir: path })
      assert.isFalse(runs(left))
      assert.deepStrictEqual(yield* query(url, "select answer from kept"), [{ answer: 42 }])
    }).pipe(Effect.scoped)
  )
})

const asRoot = process.getuid?.() === 0

/** A law about Postgres run as another user. */
const law = (name: string, effect: Effect.Effect<void, unknown, Scope.Scope>): void =>
  it.live.skipIf(!asRoot)(`${name}${asRoot ? "" : " (not claimed: root)"}`, () => Effect.scoped(effect))

/** A directory that only root may enter. */
const closed = Effect.tap(directory, (path) => Effect.promise(() => chmod(path, 0o700)))

describe("EmbeddedPostgres, started by root", () => {
  law(
    "a directory that user postgres can't enter is refused, and stays as it was",
    Effect.gen(function* () {
      const dataDir = join(yield* closed, "data")
      const error = yield* Effect.flip(EmbeddedPostgres.make({ dataDir }))
      assert.include(error.message, `user postgres, whom Postgres runs as when root starts it, can't enter ${dataDir}:`)
      assert.include(error.message, "set DATA_DIR")
      assert.isFalse(existsSync(dataDir))
    })
  )

  law(
    "data that user postgres can't reach any more is not left for an empty database",
    Effect.gen(function* () {
      const dataDir = join(yield* closed, "data")
      yield* Effect.promise(() => mkdir(join(dataDir, "postgres"), { recursive: true }))
      const error = yield* Effect.flip(EmbeddedPostgres.make({ dataDir, fallback: yield* directory }))
      assert.include(error.message, `can't enter ${dataDir}, which holds data`)
    })
  )

  law(
    "the fallback is used where user postgres can't enter the directory, and stays in use when that changes",
    Effect.gen(function* () {
      const parent = yield* closed
      const options = { dataDir: join(parent, "data"), fallback: join(yield* directory, "kept", "data") }
      const start = EmbeddedPostgres.make(options)
      yield* Effect.scoped(Effect.flatMap(start, ({ url }) => query(url, "create table kept as select 42 as answer")))
      yield* Effect.promise(() => chmod(parent, 0o755))
      const { dataDir, url } = yield* start
      assert.strictEqual(dataDir, options.fallback)
      assert.deepStrictEqual(yield* query(url, "select answer from kept"), [{ answer: 42 }])
      assert.isFalse(existsSync(options.dataDir))
    })
  )

  law(
    "directories that are made under a closed umask are open to user postgres",
    Effect.gen(function* () {
      const dataDir = join(yield* directory, "some", "data")
      const before = process.umask(0o077)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
      assert.strictEqual((yield* EmbeddedPostgres.make({ dataDir })).dataDir, dataDir)
    })
  )
})
