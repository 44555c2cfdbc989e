/** The OpenAPI 3.1 document of REST v1. */
import { OpenApi } from "effect/http-api"
import { InvoiceApi } from "./Api.ts"
import * as Problems from "./Problems.ts"
import { example } from "./Schemas.ts"

type Json = { [name: string]: Json } | Array<Json> | string | number | boolean | null
type Fields = { [name: string]: Json }

const isFields = (value: Json | undefined): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const fieldsOf = (value: Json | undefined): Fields => (isFields(value) ? value : {})

/** The scopes that open an operation when the server authenticates, any one of them; reading unless said. */
const scopes: Readonly<Record<string, ReadonlyArray<string>>> = {
  createInvoice: ["invoices:write"],
  importInvoices: ["invoices:write"],
  validateInvoice: ["invoices:read", "invoices:write"]
}

const header = (description: string): Json => ({ description, schema: { type: "string" } })

/** Headers that some statuses have, whatever the operation. */
const headersOf: Readonly<Record<string, Fields>> = {
  401: { "www-authenticate": header("What the request has to be authenticated with (RFC 6750, section 3).") },
  403: { "www-authenticate": header("The scope that the token lacks; absent when the reason is another one.") },
  429: { "retry-after": header("Seconds to wait.") },
  503: { "retry-after": header("Seconds to wait.") }
}

const visit = (value: Json, change: (fields: Fields) => void): void => {
  if (Array.isArray(value)) {
    for (const element of value) visit(element, change)
  } else if (isFields(value)) {
    change(value)
    for (const element of Object.values(value)) visit(element, change)
  }
}

/** Documents what the definition can't say. */
const complete = (operation: Fields): void => {
  const id = String(operation["operationId"])
  const needed = scopes[id] ?? ["invoices:read"]
  operation["security"] = [...needed.map((scope) => ({ bearer: [scope] })), {}]
  for (const [status, response] of Object.entries(fieldsOf(operation["responses"]))) {
    const extra = headersOf[status]
    if (extra !== undefined && isFields(response)) response["headers"] = { ...fieldsOf(response["headers"]), ...extra }
  }
  const parameters = operation["parameters"]
  for (const parameter of Array.isArray(parameters) ? parameters.filter(isFields) : []) {
    const schema = fieldsOf(parameter["schema"])
    if (typeof schema["description"] === "string") parameter["description"] = schema["description"]
    if (parameter["name"] === "limit") parameter["schema"] = { type: "integer", minimum: 1, maximum: 200, default: 50 }
    if (parameter["in"] === "path") parameter["example"] = example.id
  }
  if (id === "listInvoices") {
    const ok = fieldsOf(fieldsOf(operation["responses"])["200"])
    ok["headers"] = { link: header('The path of the next page, with rel="next"; absent on the last page (RFC 8288).') }
  }
}

/** The document. Every call makes a new one. */
export const document = (): Record<string, unknown> => {
  const spec = JSON.parse(JSON.stringify(OpenApi.fromApi(InvoiceApi)))
  // what only clients of Effect understand
  visit(spec, (fields) => {
    delete fields["x-effect-stream"]
  })
  // a server of a later version may answer with more fields, but refuses those that it does not know
  for (const [name, schema] of Object.entries(fieldsOf(spec.components.schemas))) {
    if (!name.endsWith("Input")) visit(schema, (fields) => delete fields["additionalProperties"])
  }
  for (const item of Object.values(fieldsOf(spec.paths)))
    Object.values(fieldsOf(item)).filter(isFields).forEach(complete)
  spec.components.securitySchemes = {
    bearer: {
      type: "http",
      scheme: "bearer",
      bearerFormat: "JWT",
      description: "Needed when the server authenticates. Scopes: `invoices:read`, `invoices:write`."
    }
  }
  return spec
}

/** The path at which each kind of problem is explained. */
export const problemPaths: ReadonlyArray<string> = Problems.all.map(Problems.typeOf)
