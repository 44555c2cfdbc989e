import { assert, describe, it } from "@effect/vitest"
import * as BoundedLog from "@invoice/runtime-node/BoundedLog"
import { Effect, Logger, References } from "effect"

const linesOf = (effect: Effect.Effect<void>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make((options) => lines.push(BoundedLog.formatJson.log(options)))
    return Effect.as(
      effect.pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "Info")),
      lines
    )
  })

describe("a log line", () => {
  it.effect("is short, however much a client has sent", () =>
    Effect.gen(function* () {
      const [line = ""] = yield* linesOf(
        Effect.logError("x".repeat(1_000_000), new Error("y".repeat(1_000_000))).pipe(
          Effect.annotateLogs({
            cursor: "1".repeat(400_000),
            codes: Array.from({ length: 1_000 }, (_, index) => `INV-${index}`),
            deep: JSON.parse(`${"[".repeat(1_000)}${"]".repeat(1_000)}`)
          })
        )
      )
      assert.isBelow(line.length, 20_000)
      const { annotations } = JSON.parse(line)
      assert.match(annotations.cursor, /^1{4096}… \(400000 characters\)$/u)
      assert.strictEqual(annotations.codes.length, 33)
      assert.strictEqual(annotations.codes[32], "… (1000 in all)")
    })
  )

  it.effect("is as it was when it is short", () =>
    Effect.gen(function* () {
      const log = Effect.logInfo("invoice rejected").pipe(Effect.annotateLogs({ id: "5", codes: ["A", "B"], count: 2 }))
      const [line = ""] = yield* linesOf(log)
      const { annotations, level, message } = JSON.parse(line)
      assert.deepStrictEqual(
        [annotations, level, message],
        [{ id: "5", codes: ["A", "B"], count: 2 }, "INFO", "invoice rejected"]
      )
    })
  )
})
