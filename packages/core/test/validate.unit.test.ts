import { assert, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Arbitrary, Schema } from "effect"
import * as Invoice from "../src/domain/Invoice.ts"
import * as Profile from "../src/domain/Profile.ts"
import { type Validation, validate } from "../src/validate.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const codes = ({ status, violations }: Validation) => [status, ...violations.map(({ code, path }) => `${code} ${path}`)]

/** Validates, and holds the answer to what it promises whatever came in. */
const total = (input: unknown): Validation => {
  const answer = validate(input)
  assert.include(["Approved", "Rejected", "Invalid"], answer.status)
  assert.deepStrictEqual(JSON.parse(JSON.stringify(answer)), answer)
  assert.isTrue(JSON.stringify(answer).isWellFormed())
  assert.strictEqual(answer.invoice === undefined, answer.status === "Invalid")
  assert.isAtMost(answer.violations.length, Invoice.limits.faults)
  assert.isTrue(answer.status === "Approved" || answer.violations.length > 0)
  return answer
}

const throwing = {
  get id(): string {
    throw new Error("no")
  }
}

const cyclic: Record<string, unknown> = { id: 1 }
cyclic["items"] = [cyclic]
cyclic["self"] = cyclic

const withEndlessItems: Array<unknown> = []
withEndlessItems[Symbol.iterator] = function* () {
  for (let count = 0; count < 100_000; count++) yield {}
  throw new Error("the iterator of an array was used")
}

let looks = 0
const growing = new Proxy([], {
  get: (target, key) => (key === "length" ? (looks++ === 0 ? 1 : 2 ** 31) : Reflect.get(target, key))
})

const nobody = new Proxy(
  {},
  {
    get: () => {
      throw undefined
    },
    ownKeys: () => {
      throw new Error("no")
    }
  }
)

const revoked = (() => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
})()

const thrower = Object.assign(() => "", {
  toString: () => {
    throw new Error("no")
  }
})

const hostile: ReadonlyArray<unknown> = [
  undefined,
  null,
  true,
  0,
  Number.NaN,
  2n ** 70n,
  Symbol("s"),
  () => 1,
  class {},
  thrower,
  "",
  "\ud800",
  "\0",
  "\ufeff",
  "null",
  "[]",
  "{",
  "[".repeat(1_000_000),
  `{"id":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
  new Uint8Array(),
  new Uint8Array([0xff, 0xfe, 0x7b]),
  new ArrayBuffer(3),
  new DataView(new ArrayBuffer(8)),
  new Float64Array(3),
  structuredClone(new ArrayBuffer(3), { transfer: [] }),
  Object.create(null),
  Object.freeze([]),
  new Array(10),
  new Date(Number.NaN),
  new Map(),
  new Proxy({}, {}),
  /x/u,
  new Error("x"),
  throwing,
  cyclic,
  nobody,
  revoked,
  growing,
  withEndlessItems,
  globalThis
]

const fields = ["id", "customer_id", "amount", "currency", "due_date", "created_at", "items", "notes", "surprise"]

const index = (length: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: length - 1 })))

describe("validate", () => {
  it("approves, rejects with reasons, or says why it can't tell", () => {
    const good = total(Generators.document())
    assert.deepStrictEqual(codes(good), ["Approved"])
    assert.deepStrictEqual(codes(total(Generators.document({ amount: "1050.01" }))), ["Rejected", "BR-CO-10 /amount"])
    assert.deepStrictEqual(codes(total(Generators.document({ amount: "10.555", due_dat: 1 }))), [
      "Invalid",
      "INV-SCALE /amount",
      "INV-FIELD /due_dat"
    ])
    assert.deepStrictEqual(codes(total("{")), ["Invalid", "INV-JSON "])
    assert.deepStrictEqual(codes(total(new Uint8Array([0x22, 0xff, 0x22]))), ["Invalid", "INV-JSON "])
    assert.deepStrictEqual(codes(total(throwing)), ["Invalid", "INV-TYPE "])
  })

  it("gives the invoice in the form in which it travels, and takes that form again", () => {
    const { invoice } = total(
      `{"id": "53150A25-02F1-540A-99E7-48E267FD6D13", "notes": null,
      "customer_id": "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990", "amount": 9007199254740993.010, "currency": "USD",
      "items": [{"description": "x", "quantity": 1e0, "unit_price": 1, "total": 1}]}`.replace("1e0", "1.0")
    )
    assert.deepStrictEqual(invoice, {
      id: "53150a25-02f1-540a-99e7-48e267fd6d13",
      customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
      amount: "9007199254740993.01",
      currency: "USD",
      items: [{ description: "x", quantity: "1", unit_price: "1", total: "1" }],
      notes: ""
    })
  })

  it("warns about an invoice that it approves", () => {
    const answer = total(Generators.document({ due_date: "2025-05-31T00:00:00Z" }))
    assert.deepStrictEqual(codes(answer), ["Approved", "INV-DUE /due_date"])
  })

  it("judges with a profile that is given", () => {
    const lenient = { name: "lenient", version: "1", rules: [] }
    assert.strictEqual(validate(Generators.document({ amount: "1" }), { profile: lenient }).status, "Approved")
  })

  it("takes a text and bytes with a byte order mark", () => {
    const text = `\ufeff${JSON.stringify(Generators.document())}`
    assert.deepStrictEqual([codes(total(text)), codes(total(bytes(text)))], [["Approved"], ["Approved"]])
  })

  it.prop("says of a text, its bytes and the object what the pipeline says", [Generators.anyInvoice], ([invoice]) => {
    const verdict = Profile.judge(Profile.core, invoice)
    const encoded = Invoice.encode(invoice)
    const expected = { status: verdict.status, violations: verdict.violations, invoice: encoded }
    const text = JSON.stringify(encoded)
    const buffer = bytes(text)
    for (const input of [encoded, text, buffer, buffer.slice().buffer, new DataView(buffer.slice().buffer)]) {
      assert.deepStrictEqual(total(input), expected)
    }
  })

  it.each(hostile.map((input, index) => [index, input] as const))("survives hostile input %i", (_, input) => {
    assert.strictEqual(total(input).status, "Invalid")
  })

  it.prop(
    "survives hostile values anywhere in a document",
    [index(fields.length), index(hostile.length), index(hostile.length)],
    ([field, first, second]) => {
      looks = 0
      total(Generators.document({ [fields[field] ?? ""]: hostile[first] }))
      looks = 0
      const line = { description: "x", quantity: hostile[first], unit_price: "1", total: hostile[second] }
      total(Generators.document({ items: [line, hostile[second]] }))
    }
  )

  it.prop("survives any text and any bytes", [Arbitrary.schema(Schema.String), index(256)], ([text, byte]) => {
    total(text)
    total(`{"id": ${text}}`)
    const broken = bytes(JSON.stringify(Generators.document({ notes: text })))
    broken[byte % broken.length] = byte
    total(broken)
  })

  it.prop("survives any JSON", [Arbitrary.schema(Schema.Json)], ([json]) => {
    total(json)
    total(JSON.stringify(json))
    total(Generators.document({ items: json }))
  })
})
