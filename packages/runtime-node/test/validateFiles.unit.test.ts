import { Readable, Writable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import * as ValidateFiles from "@invoice/runtime-node/programs/ValidateFiles"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"

const options: ValidateFiles.Options = { files: ["-"], json: true, lines: false }

const line = Buffer.from(`${JSON.stringify(Generators.document())}\n`)

const nothing = () => new Writable({ write: (_chunk, _encoding, done) => done() })

describe("invoice validate", () => {
  it.live("reads no further while its output isn't taken", () =>
    Effect.gen(function* () {
      let chunks = 0
      const stdin = Readable.from(
        (function* () {
          while (chunks < 500) {
            chunks++
            yield line
          }
        })(),
        { highWaterMark: 1 }
      )
      let written = 0
      const ahead: Array<number> = []
      const stdout = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          for (const byte of chunk) written += byte === 0x0a ? 1 : 0
          // long enough for whoever doesn't wait to read all there is
          let turns = 50
          const later = (): void => {
            if (turns-- > 0) {
              setImmediate(later)
            } else {
              ahead.push(chunks - written)
              done()
            }
          }
          later()
        }
      })
      assert.strictEqual(yield* ValidateFiles.run(options, { stdin, stdout, stderr: nothing() }), 0)
      assert.strictEqual(written, 500)
      assert.isAtMost(Math.max(...ahead), 5)
    })
  )

  it.live("answers 141 when its output is closed, and 2 when its input breaks off", () =>
    Effect.gen(function* () {
      const closed = new Writable({
        write: (_chunk, _encoding, done) => done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }))
      })
      const endless = Readable.from(
        (function* () {
          for (;;) yield line
        })()
      )
      assert.strictEqual(yield* ValidateFiles.run(options, { stdin: endless, stdout: closed, stderr: nothing() }), 141)
      const broken = Readable.from(
        (async function* () {
          yield line
          yield line
          throw new Error("the disk is broken")
        })()
      )
      let printed = ""
      const stdout = new Writable({
        write: (chunk, _encoding, done) => {
          printed += chunk
          done()
        }
      })
      assert.strictEqual(yield* ValidateFiles.run(options, { stdin: broken, stdout, stderr: nothing() }), 2)
      assert.deepStrictEqual(
        printed
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line).status),
        ["Approved", "Approved", "Invalid"]
      )
      assert.include(printed, "the disk is broken")
    })
  )
})
