import { assert, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Result } from "effect"
import * as InvoiceParser from "../src/domain/InvoiceParser.ts"
import * as Json from "../src/domain/Json.ts"
import * as UnknownField from "../src/domain/UnknownField.ts"

const faults = (document: unknown, pointer?: string) =>
  Result.match(InvoiceParser.parse(document, pointer === undefined ? {} : { pointer }), {
    onFailure: ({ kind, violations }) => ({ kind, violations }),
    onSuccess: () => ({ kind: undefined, violations: [] })
  })

const paths = (document: unknown) => faults(document).violations.map(({ code, path }) => [code, path])

const line = { description: "x", quantity: "1", unit_price: "1050", total: "1050" }

describe("a field that the contract doesn't know", () => {
  it("is refused with its pointer and the nearest known name", () => {
    assert.deepStrictEqual(faults(Generators.document({ amuont: "1" }), "/invoice"), {
      kind: "syntax",
      violations: [
        {
          code: "INV-FIELD",
          severity: "error",
          path: "/invoice/amuont",
          message: "unknown field, did you mean amount?"
        }
      ]
    })
  })

  it("is refused within a line too, beside the line's other faults", () => {
    const { unit_price, ...rest } = line
    assert.deepStrictEqual(
      faults(Generators.document({ items: [line, { ...rest, unitPrice: unit_price }] })).violations.map(
        ({ message, path }) => [path, message]
      ),
      [
        ["/items/1/unit_price", "unit_price is missing"],
        ["/items/1/unitPrice", "unknown field, did you mean unit_price?"]
      ]
    )
  })

  it("is refused whatever its value is, also null, and taken for absent when it is undefined", () => {
    assert.deepStrictEqual(paths(Generators.document({ a1: null, b1: "", c1: false, d1: undefined })), [
      ["INV-FIELD", "/a1"],
      ["INV-FIELD", "/b1"],
      ["INV-FIELD", "/c1"]
    ])
  })

  it("is refused when its name is one that every object inherits", () => {
    const document = Result.getOrThrow(
      Json.parse(
        JSON.stringify(Generators.document()).replace(
          "{",
          '{"__proto__": {"notes": "x"}, "constructor": 1, "toString": 2,'
        )
      )
    )
    assert.deepStrictEqual(paths(document), [
      ["INV-FIELD", "/__proto__"],
      ["INV-FIELD", "/constructor"],
      ["INV-FIELD", "/toString"]
    ])
  })

  it("has its name escaped as in any JSON pointer, cut when it is long, and well-formed", () => {
    assert.deepStrictEqual(paths(Generators.document({ "a/b~c": 1, "\ud800": 1, ["y".repeat(1_000_000)]: 1, "": 1 })), [
      ["INV-FIELD", "/a~1b~0c"],
      ["INV-FIELD", "/\ufffd"],
      ["INV-FIELD", `/${"y".repeat(63)}…`],
      ["INV-FIELD", "/"]
    ])
  })

  it("is listed up to a limit, and the known fields' faults come first", () => {
    const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`field${index}`, index]))
    const { violations } = faults({ ...many, ...Generators.document({ currency: "US$" }) })
    assert.strictEqual(violations.length, 1 + UnknownField.limit)
    assert.strictEqual(violations[0]?.code, "INV-CURRENCY")
    assert.strictEqual(violations.at(-1)?.path, `/field${UnknownField.limit - 1}`)
  })
})

describe("the nearest known name", () => {
  const invoice = ["id", "customer_id", "amount", "currency", "due_date", "items", "notes", "invoice_type"]

  it.each([
    ["invioce_type", "invoice_type"],
    ["customerId", "customer_id"],
    ["CustomerID", "customer_id"],
    ["due-date", "due_date"],
    ["item", "items"],
    ["note", "notes"],
    ["curency", "currency"],
    ["Id", "id"]
  ])("of %s is %s", (name, nearest) => {
    assert.strictEqual(UnknownField.nearest(name, invoice), nearest)
  })

  it.each(["", "x", "foo", "discount", "purchase_order", "tax", "i".repeat(1_000_000)])("of %s is none", (name) => {
    assert.isUndefined(UnknownField.nearest(name, invoice))
  })

  it.prop("of a known name is itself, however it is written", [Generators.decimalText(2)], ([salt]) => {
    for (const name of invoice) {
      const bent = [...name].map((letter, at) =>
        salt.charCodeAt(at % salt.length) % 2 ? letter.toUpperCase() : letter
      )
      assert.strictEqual(UnknownField.nearest(bent.join(""), invoice), name)
    }
  })
})
