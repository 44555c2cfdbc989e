import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Problems from "@invoice/client/Problems"
import * as Schemas from "@invoice/client/Schemas"
import { Decimal } from "@invoice/core"
import { Effect } from "effect"
import { faults, spec } from "./Contract.ts"
import { call, serve } from "./RestV1.ts"

const operations = Object.entries(spec.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, ...operation }))
)

describe("the OpenAPI document", () => {
  it("has every route", () => {
    assert.strictEqual(spec.openapi, "3.1.0")
    assert.deepStrictEqual(operations.map(({ name }) => name).toSorted(), [
      "GET /v1/events",
      "GET /v1/invoices",
      "GET /v1/invoices/{id}",
      "GET /v1/invoices/{id}/history",
      "POST /v1/invoices",
      "POST /v1/invoices:import",
      "POST /v1/invoices:validate"
    ])
  })

  it("has only examples that are valid, and one for everything that a client sends or gets", () => {
    const schemas = Object.entries(spec.components.schemas)
    for (const [name, { examples = [] }] of schemas) {
      for (const example of examples) {
        assert.strictEqual(faults(`/components/schemas/${name}`, example), "", name)
      }
    }
    const with_ = schemas.filter(([, { examples }]) => examples !== undefined).map(([name]) => name)
    assert.includeMembers(with_, [
      "Invoice",
      "InvoiceInput",
      "InvoicePage",
      "History",
      "Verdict",
      "Change",
      "ImportResult"
    ])
    assert.deepStrictEqual(
      schemas.filter(([name]) => name.endsWith("Problem") && name !== "Problem" && !with_.includes(name)),
      []
    )
  })

  it("has one schema of each name", () => {
    const names = Object.keys(spec.components.schemas)
    assert.deepStrictEqual(
      names.filter((name) => /\d$/u.test(name)),
      []
    )
  })

  it("has decimals as strings, with the pattern that the core reads", () => {
    const decimal = spec.components.schemas["Decimal"] as { readonly pattern?: string; readonly type?: string }
    assert.deepStrictEqual([decimal.type, decimal.pattern], ["string", Decimal.pattern.source])
    assert.notStrictEqual(faults("/components/schemas/Invoice", { ...Schemas.example, amount: 1050 }), "")
  })

  it("documents for each route what any request may be answered with", () => {
    for (const { name, responses } of operations) {
      assert.includeMembers(Object.keys(responses), ["400", "401", "403", "408", "429", "500", "503"], name)
    }
  })

  it("documents every kind of problem of an operation", () => {
    // the others are of paths and methods that no operation has
    const elsewhere = new Set<string>(["not-found", "method-not-allowed"].map((kind) => `/problems/${kind}`))
    const text = JSON.stringify(spec)
    for (const type of Problems.all.map(Problems.typeOf)) {
      assert.strictEqual(text.includes(`"${type}"`), !elsewhere.has(type), type)
    }
  })

  it("takes further fields in answers, and none in requests", () => {
    assert.strictEqual(faults("/components/schemas/Invoice", { ...Schemas.example, new_field: 1 }), "")
    const { status: _, stored_at: _s, version: _v, violations: _w, ...input } = Schemas.example
    assert.strictEqual(faults("/components/schemas/InvoiceInput", input), "")
    assert.notStrictEqual(faults("/components/schemas/InvoiceInput", { ...input, new_field: 1 }), "")
  })
})

describe("the documentation of REST v1", () => {
  it.live("is served, with a page for each kind of problem, and loads nothing", () =>
    Effect.gen(function* () {
      const url = yield* serve()
      const get = (path: string) => Effect.promise(() => call(url + path))
      assert.deepStrictEqual(JSON.parse((yield* get("/openapi.json")).text), spec)
      for (const path of ["/docs", ...Problems.all.map(Problems.typeOf)]) {
        const { headers, status, text } = yield* get(path)
        assert.strictEqual(status, 200, path)
        const style = /<style>([\s\S]*)<\/style>/u.exec(text)?.[1] ?? ""
        const hash = createHash("sha256").update(style).digest("base64")
        const policy = headers.get("content-security-policy") ?? ""
        assert.include(policy, `default-src 'none'; style-src 'sha256-${hash}'`)
        assert.notInclude(policy, "unsafe-inline")
        assert.isNull(/<script|<link|<img|<iframe|\bstyle=|\bon[a-z]+=|(?:src|href)="(?![#/])/iu.exec(text))
      }
      const { text } = yield* get("/docs")
      const absent = (parts: ReadonlyArray<string>) => parts.filter((part) => !text.includes(part))
      assert.deepStrictEqual(absent(operations.map(({ name }) => `<code>${name}</code>`)), [])
      const anchors = [...text.matchAll(/href="#([^"]*)"/gu)].map(([, anchor]) => `id="${anchor}"`)
      assert.deepStrictEqual(absent([...new Set(anchors)]), [])
    })
  )
})
