/** `invoice validate` as a process, as a user or a script has it. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createWriteStream } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { finished } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { stripVTControlCharacters } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"

const entry = fileURLToPath(new URL("../src/bin/invoice.ts", import.meta.url))

/** Prints the most memory that the process had, in bytes, to file descriptor 3. */
const reportMemory = `data:text/javascript,import { writeSync } from "node:fs"
process.on("exit", () => { try { writeSync(3, String(process.resourceUsage().maxRSS * 1024)) } catch {} })`

const command = ["--conditions=source", "--import", reportMemory.replaceAll("\n", ";"), entry, "validate"]

// nothing of the environment but what finds Node.js: no setting of the platform, no NO_COLOR of CI
const environment = { PATH: process.env["PATH"] ?? "", TERM: "xterm-256color" }

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly memory: number
}

const collected = (stream: NodeJS.ReadableStream | null | undefined): (() => string) => {
  const chunks: Array<Buffer> = []
  stream?.on("data", (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString()
}

const start = (
  program: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): ChildProcess => spawn(program, args, { env: { ...environment, ...env }, stdio: ["pipe", "pipe", "pipe", "pipe"] })

const run = async (
  args: ReadonlyArray<string>,
  /** Null: somebody else writes to it. */
  input: string | Uint8Array | null = "",
  spawned = start(process.execPath, [...command, ...args])
): Promise<Ended> => {
  const [stdout, stderr, memory] = [spawned.stdout, spawned.stderr, spawned.stdio[3]].map((stream) =>
    collected(stream as NodeJS.ReadableStream | null)
  )
  spawned.stdin?.on("error", () => undefined)
  if (input !== null) spawned.stdin?.end(input)
  const [code] = await once(spawned, "close")
  return { code, stdout: stdout?.() ?? "", stderr: stderr?.() ?? "", memory: Number(memory?.()) }
}

/** In a terminal of its own, which Python makes; what both streams print comes together. */
const onTerminal = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  shell = ""
): Promise<Ended> => {
  const program = [process.execPath, ...command, ...args].map((arg) => `'${arg}'`).join(" ")
  const python = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1]])))"
  return run([], "", start("python3", ["-c", python, `${program} ${shell}`], env))
}

const csi = "\u001b["

describe("invoice validate", () => {
  let directory = ""
  const path = (name: string): string => join(directory, name)
  const document = (overrides?: Readonly<Record<string, unknown>>): string =>
    JSON.stringify(Generators.document(overrides))

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "invoice-validate-"))
    await writeFile(path("good.json"), JSON.stringify(Generators.document(), undefined, 2))
    await writeFile(path("bad.json"), document({ amount: "1050.01", due_date: "2025-05-31T00:00:00Z" }))
    await writeFile(path("broken.json"), "{\n")
    await writeFile(path("empty.ndjson"), "\n\n")
    await writeFile(
      path("many.ndjson"),
      `${document()}\n\n{"id": 1,\n${document({ amount: "1" })}\r\n${"x".repeat(9_000_000)}\n${document({ custmer_id: "y" })}`
    )
  })

  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** What a program reads: the documents and their violations. */
  const judged = (stdout: string): ReadonlyArray<ReadonlyArray<unknown>> =>
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
      .map(({ file, line, status, violations }) => [
        file.replace(`${directory}/`, ""),
        line,
        status,
        ...violations.map(({ code, path }: { readonly code: string; readonly path: string }) => `${code} ${path}`)
      ])

  it("exits with 0, 1 and 2: the worst of what it found", async () => {
    const codes = async (...names: ReadonlyArray<string>) => (await run(names.map(path))).code
    assert.deepStrictEqual(
      await Promise.all([codes("good.json"), codes("good.json", "bad.json"), codes("bad.json", "empty.ndjson")]),
      [0, 1, 2]
    )
  })

  it("prints a table without colours into a pipe", async () => {
    const { code, stderr, stdout } = await run(["good.json", "bad.json", "broken.json", "nowhere.json"].map(path))
    assert.strictEqual(code, 2)
    assert.strictEqual(stderr, "")
    assert.notInclude(stdout, csi)
    assert.deepStrictEqual(stdout.replaceAll(`${directory}/`, "").replace(/ {2,}/gu, " | ").trimEnd().split("\n"), [
      "STATUS | DOCUMENT | RULE | WHERE | REASON",
      "approved | good.json",
      "rejected | bad.json | BR-CO-10 | /amount | the amount is not the sum of the line totals (expected 1050.00, was 1050.01)",
      " | INV-DUE | /due_date | (warning) the due date is before the issue date (expected 2025-06-01 or later, was 2025-05-31)",
      "invalid | broken.json | INV-JSON | not JSON: Expected property name or '}' in JSON at position 2 (line 2 column 1)",
      "invalid | nowhere.json | INV-FILE | there is no such file",
      "",
      "4 documents: 1 approved, 1 rejected, 2 invalid"
    ])
  })

  it("prints a JSON object for each document, and goes on behind a line that can't be read", async () => {
    const { code, stderr, stdout } = await run(["--json", path("good.json"), path("many.ndjson")])
    assert.deepStrictEqual([code, stderr], [2, ""])
    assert.deepStrictEqual(judged(stdout), [
      ["good.json", undefined, "Approved"],
      ["many.ndjson", 1, "Approved"],
      ["many.ndjson", 3, "Invalid", "INV-JSON "],
      ["many.ndjson", 4, "Rejected", "BR-CO-10 /amount"],
      ["many.ndjson", 5, "Invalid", "INV-JSON "],
      ["many.ndjson", 6, "Invalid", "INV-FIELD /custmer_id"]
    ])
  })

  it("reads standard input, and finds out whether it is one document or many", async () => {
    const pretty = JSON.stringify(Generators.document(), undefined, 2)
    const answers = await Promise.all([
      run(["--json", "-"], pretty),
      run(["--json", "-"], `\ufeff${document()}\n`),
      run(["--json", "-"], `${document()}\n${document({ amount: "1" })}\n`),
      run(["--json", "--lines", "-"], `{"broken":\n${document()}\n`),
      run(["--json", "-"], ""),
      run(["--json", "-"], new Uint8Array([0x22, 0xff, 0x22]))
    ])
    assert.deepStrictEqual(
      answers.map(({ code, stdout }) => [code, ...judged(stdout)]),
      [
        [0, ["-", undefined, "Approved"]],
        [0, ["-", undefined, "Approved"]],
        [1, ["-", 1, "Approved"], ["-", 2, "Rejected", "BR-CO-10 /amount"]],
        [2, ["-", 1, "Invalid", "INV-JSON "], ["-", 2, "Approved"]],
        [2, ["-", undefined, "Invalid", "INV-JSON "]],
        [2, ["-", undefined, "Invalid", "INV-JSON "]]
      ]
    )
  })

  it("answers each document of a stream before the next one comes", async () => {
    const spawned = start(process.execPath, [...command, "--json", "-"])
    const answers = run([], null, spawned)
    const stdin = spawned.stdin ?? assert.fail()
    // the first line tells that there are lines once the second is there
    stdin.write(`${document()}\n${document()}\n`)
    for (let count = 0; count < 3; count++) {
      await once(spawned.stdout ?? assert.fail(), "data")
      stdin.write(`${document()}\n`)
    }
    stdin.end()
    const { code, stdout } = await answers
    assert.deepStrictEqual([code, judged(stdout).length], [0, 5])
  })

  it("writes out what a terminal would obey", async () => {
    const { stdout } = await run(["-"], document({ currency: "\u001b[31mUSD\u009b2J\u202e", "\u0007": 1 }))
    assert.notMatch(stdout, /[^\P{C}\n]/u)
    assert.include(stdout, "\\u{1b}[31mUSD\\u{9b}2J\\u{202e}")
  })

  it("says how it is used when it isn't used so, and exits with 2", async () => {
    for (const args of [[], ["--nonsense", "-"], ["--json=maybe", "-"]]) {
      const { code, stderr, stdout } = await run(args)
      assert.strictEqual(code, 2)
      assert.include(stdout + stderr, "invoice validate")
    }
    const help = await run(["--help"])
    assert.strictEqual(help.code, 0)
    assert.include(help.stdout, "EXAMPLES")
    assert.include(help.stdout, "invoice validate --json archive.ndjson > verdicts.ndjson")
  })

  it("reads no setting of the platform", async () => {
    const spawned = start(process.execPath, [...command, path("good.json")], { HTTP_ADDRESS: "nonsense" })
    assert.strictEqual((await run([], "", spawned)).code, 0)
  })

  it("uses colours on a terminal, none when NO_COLOR says so, and none where the terminal has none", async () => {
    const [colored, uncolored, dumb] = await Promise.all([
      onTerminal([path("bad.json")]),
      onTerminal([path("bad.json")], { NO_COLOR: "1" }),
      onTerminal([path("bad.json")], { TERM: "dumb" })
    ])
    assert.deepStrictEqual([colored.code, uncolored.code, dumb.code], [1, 1, 1])
    assert.include(colored.stdout, `${csi}31mrejected${csi}0m`)
    assert.notInclude(uncolored.stdout, csi)
    assert.notInclude(dumb.stdout, csi)
    assert.strictEqual(stripVTControlCharacters(colored.stdout), uncolored.stdout)
  })

  it("ends quietly when nobody reads on", async () => {
    const lines = `${document()}\n`.repeat(5_000)
    await writeFile(path("lines.ndjson"), lines)
    const spawned = start(process.execPath, [...command, path("lines.ndjson")])
    spawned.stdout?.once("data", () => spawned.stdout?.destroy())
    const { code, stderr } = await run([], "", spawned)
    assert.deepStrictEqual([code, stderr], [141, ""])
  })

  it("exits with 130 when it is interrupted, since nobody knows then what the rest was", async () => {
    const spawned = start(process.execPath, [...command, "--json", "-"])
    const ended = once(spawned, "close")
    spawned.stdin?.write(`${document()}\n${document()}\n`)
    await once(spawned.stdout ?? assert.fail(), "data")
    spawned.kill("SIGINT")
    assert.deepStrictEqual(await ended, [130, null])
  })

  describe("on a stream of any size", () => {
    const megabytes = Number(process.env["NDJSON_MEGABYTES"] ?? 40)
    let count = 0

    beforeAll(async () => {
      const file = createWriteStream(path("large.ndjson"))
      const page = Array.from({ length: 1_000 }, (_, index) => document({ notes: `${index} ${"n".repeat(index)}` }))
      const text = Buffer.from(`${page.join("\n")}\n`)
      for (let size = 0; size < megabytes * 1e6; size += text.length) {
        if (!file.write(text)) await once(file, "drain")
        count += page.length
      }
      file.end()
      await finished(file)
    }, 120_000)

    it("has bounded memory", { timeout: 600_000 }, async () => {
      // so that the garbage collector can't put off what it has to do
      const heap = ["--max-semi-space-size=2", "--max-old-space-size=120"]
      const judge = (name: string) => start(process.execPath, [...heap, ...command, "--json", path(name)])
      const small = await run([], "", judge("good.json"))
      const large = await run([], "", judge("large.ndjson"))
      // no progress where there is no terminal
      assert.deepStrictEqual([large.code, large.stderr], [0, ""])
      assert.strictEqual(large.stdout.split("\n").length - 1, count)
      const growth = (large.memory - small.memory) / 2 ** 20
      process.stdout.write(
        `${megabytes} MB in ${count} lines: ${(large.memory / 2 ** 20).toFixed(0)} MiB, ${growth.toFixed(0)} MiB more than for one document\n`
      )
      assert.isBelow(growth, 64)
    })

    it("shows on a terminal how far it is, and takes that back", { timeout: 600_000 }, async () => {
      const { code, stdout } = await onTerminal(["--json", path("large.ndjson")], {}, "> /dev/null")
      assert.strictEqual(code, 0)
      const [before, ...updates] = stdout.split(`\r${csi}K`)
      const after = updates.pop()
      assert.deepStrictEqual([before, after], ["", ""])
      assert.isAbove(updates.length, 0)
      for (const update of updates) assert.match(update, /^[\d,]+ documents, \d+ %, \d+\.\d MB, [\d,]+\/s$/u)
    })
  })
})
