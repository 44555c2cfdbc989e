/** The table of access, the routes of REST v1 and the OpenAPI document say the same. */
import { assert, describe, it } from "@effect/vitest"
import { InvoiceApi } from "@invoice/client/Api"
import * as AccessScope from "@invoice/runtime-node/auth/AccessScope"
import * as AccessTable from "@invoice/runtime-node/auth/AccessTable"
import { spec } from "./Contract.ts"

const endpoints = Object.values(InvoiceApi.groups).flatMap((group) => Object.values(group.endpoints))

/** The entry of a request, which has to be there. */
const entryOf = (method: string, path: string): AccessTable.Access => {
  const found = AccessTable.find(method, path)
  if (typeof found !== "object" || !("open" in found)) {
    return assert.fail(`${method} ${path} is not in the table of access: ${JSON.stringify(found)}`)
  }
  return found
}

const someId = "53150a25-02f1-540a-99e7-48e267fd6d13"

const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    ...operation,
    name: `${method.toUpperCase()} ${path}`,
    access: () => entryOf(method.toUpperCase(), path.replace("{id}", someId))
  }))
)

describe("the table of access and REST v1", () => {
  it("has an entry for each route of the definition, and none of them is open without a token", () => {
    assert.isAtLeast(endpoints.length, 7)
    for (const { method, path } of endpoints) {
      const access = entryOf(method, path.replace(":id", someId))
      assert.deepStrictEqual([access.open, access.rpc], [false, false], `${method} ${path}`)
      assert.notStrictEqual(access.scopes, AccessScope.none, `${method} ${path}`)
    }
  })

  it("has the scopes that the OpenAPI document names for each operation", () => {
    assert.strictEqual(operations.length, endpoints.length)
    for (const { access, name, security } of operations) {
      const documented = security.flatMap(({ bearer = [] }) => bearer)
      const table = AccessScope.namesOf(access().scopes).filter((scope) => scope !== "internal")
      assert.deepStrictEqual(documented.toSorted(), table.toSorted(), name)
    }
  })

  it("has each scope as an alternative, since one is enough", () => {
    for (const { name, security } of operations) {
      for (const { bearer } of security) assert.isTrue(bearer === undefined || bearer.length === 1, name)
      assert.deepEqual(security.at(-1), {}, `${name}: without a token while the server authenticates nobody`)
    }
  })

  it("documents 401, 403 and 429 as problems, with their headers, for all that asks for a token", () => {
    for (const { access, name, responses } of operations) {
      if (access().open) continue
      for (const [status, header] of [
        ["401", "www-authenticate"],
        ["403", "www-authenticate"],
        ["429", "retry-after"]
      ] as const) {
        assert.hasAllKeys(responses[status]?.content, ["application/problem+json"], `${name} ${status}`)
        assert.property(responses[status]?.headers, header, `${name} ${status}`)
      }
    }
  })
})
