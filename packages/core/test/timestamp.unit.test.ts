import { assert, describe, it } from "@effect/vitest"
import * as Timestamp from "../src/domain/Timestamp.ts"

describe("Timestamp", () => {
  it("turns any offset into UTC and keeps nanoseconds", () => {
    for (const [from, to] of [
      ["2025-06-30T00:00:00Z", "2025-06-30T00:00:00Z"],
      ["2025-06-30T00:00:00.000Z", "2025-06-30T00:00:00Z"],
      ["2025-06-30T01:30:00.123456789+02:00", "2025-06-29T23:30:00.123456789Z"],
      ["2024-02-29T23:59:59-01:00", "2024-03-01T00:59:59Z"],
      ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]
    ] as const) {
      assert.strictEqual<string | undefined>(Timestamp.parse(from), to)
    }
  })

  it("refuses times that don't exist", () => {
    for (const text of [
      "2025-02-30T00:00:00Z",
      "2025-02-29T00:00:00Z",
      "2025-13-01T00:00:00Z",
      "2025-01-01T24:00:00Z",
      "2025-01-01T23:59:60Z",
      "2025-01-01",
      "2025-01-01T00:00:00",
      "0000-01-01T00:00:00Z",
      "2025-01-01T00:00:00+24:00",
      ""
    ]) {
      assert.isUndefined(Timestamp.parse(text), text)
    }
  })

  it("sorts as text the way time goes, and comes back", () => {
    const times = [
      "0001-01-01T00:00:00Z",
      "2025-01-01T00:00:00Z",
      "2025-01-01T00:00:00.000000001Z",
      "2025-01-01T00:00:00.5Z",
      "2025-01-01T00:00:01Z"
    ].map((text) => Timestamp.parse(text) ?? assert.fail(text))
    assert.deepStrictEqual([...times].reverse().sort(Timestamp.compare), times)
    assert.deepStrictEqual(times.map(Timestamp.toSortable).map(Timestamp.fromSortable), times)
  })
})
