import { assert, describe, it } from "@effect/vitest"
import { SqlError } from "effect/sql"
import * as SqlState from "../src/postgres/SqlState.ts"

/** As the driver makes them of what the server reports. */
const reported = (code: string) =>
  new SqlError.SqlError({
    reason: new SqlError.UnknownError({ cause: Object.assign(new Error("no"), { code, severity: "ERROR" }) })
  })

const expected = {
  unavailable: [
    ["08006", "connection failure"],
    ["0A000", "cached plan must not change result type"],
    ["25006", "read only: a standby"],
    ["25P03", "idle in transaction for too long"],
    ["28P01", "another password"],
    ["3D000", "no such database"],
    ["42501", "no privilege"],
    ["42P01", "no such table"],
    ["53100", "disk full"],
    ["53200", "out of memory"],
    ["53300", "too many connections"],
    ["57014", "the statement's deadline"],
    ["57P01", "shut down by the administrator"],
    ["57P02", "crash of another backend"],
    ["57P03", "starting up"],
    ["58030", "input or output error"],
    ["XX000", "internal error"]
  ],
  retryable: [
    ["40001", "serialization failure"],
    ["40P01", "deadlock"],
    ["55P03", "a lock that is not to be had"],
    ["XX001", "one damaged row"],
    ["XX002", "one damaged index"],
    ["ZZ999", "a class that nobody knows"]
  ],
  permanent: [
    ["21000", "cardinality"],
    ["22003", "numeric value out of range"],
    ["22021", "a character that the encoding doesn't have"],
    ["23505", "unique violation"],
    ["23514", "check violation"],
    ["44000", "with check option"],
    ["54000", "a row that is too large"],
    ["P0001", "raised by a trigger"]
  ]
} as const

describe("what Postgres answers", () => {
  for (const [kind, codes] of Object.entries(expected)) {
    for (const [code, what] of codes) {
      it(`with ${code} (${what}) is ${kind}`, () => {
        assert.strictEqual(SqlState.of(reported(code)), code)
        assert.strictEqual(SqlState.kindOf(reported(code)), kind)
      })
    }
  }
})

describe("what the driver finds by itself", () => {
  it("is unavailable when it is the connection, whatever Node.js calls it", () => {
    const cause = Object.assign(new Error("write EPIPE"), { code: "EPIPE" })
    const error = new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause }) })
    assert.isUndefined(SqlState.of(error))
    assert.strictEqual(SqlState.kindOf(error), "unavailable")
  })

  it("may be the request's fault when it is anything else", () => {
    const error = new SqlError.SqlError({ reason: new SqlError.UnknownError({ cause: new Error("can't encode") }) })
    assert.strictEqual(SqlState.kindOf(error), "retryable")
  })
})
