/** Compares answers with the OpenAPI document: the status is documented, and so are its content type and its body. */
import { document } from "@invoice/client/OpenApi"
import { Ajv2020 } from "ajv/dist/2020.js"
import addFormats from "ajv-formats"

interface Media {
  readonly schema: { readonly $ref?: string }
}

interface Operation {
  readonly operationId: string
  readonly security: ReadonlyArray<{ readonly bearer?: ReadonlyArray<string> }>
  readonly responses: Readonly<
    Record<
      string,
      { readonly content?: Readonly<Record<string, Media>>; readonly headers?: Readonly<Record<string, unknown>> }
    >
  >
}

export interface Schema {
  readonly examples?: ReadonlyArray<unknown>
  readonly properties?: Readonly<Record<string, Schema>>
}

export interface Document {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

export const spec = document() as unknown as Document

const ajv = new Ajv2020({ strict: false, allErrors: true })
;(addFormats as unknown as (ajv: Ajv2020) => void)(ajv)
ajv.addSchema(spec, "spec")

// compiling costs far more than comparing
const compiled = new Map<string, ReturnType<typeof ajv.compile>>()

/** Why a value does not match a schema of the document, given by its JSON pointer; empty when it does. */
export const faults = (pointer: string, value: unknown): string => {
  const validate = compiled.get(pointer) ?? ajv.compile({ $ref: `spec#${pointer}` })
  compiled.set(pointer, validate)
  return validate(value) === true ? "" : ajv.errorsText(validate.errors)
}

const escaped = (part: string): string => part.replaceAll("~", "~0").replaceAll("/", "~1")

const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    method: method.toUpperCase(),
    operation,
    path,
    pattern: new RegExp(`^${path.replace("{id}", "[^/]+")}$`, "u")
  }))
)

/** Throws when an answer is not as the document says. Requests to other paths and methods are not compared. */
export const compare = (
  method: string,
  url: string,
  { headers, status, text }: { readonly headers: Headers; readonly status: number; readonly text: string }
): void => {
  const { pathname } = new URL(url)
  const found = operations.find((candidate) => candidate.method === method && candidate.pattern.test(pathname))
  if (found === undefined) return
  const { operation, path } = found
  const response = operation.responses[status]
  if (response === undefined) throw new Error(`${operation.operationId}: status ${status} is not documented`)
  const type = headers.get("content-type")?.split(";")[0] ?? ""
  if (text === "" || type === "text/event-stream") return
  if (response.content?.[type] === undefined)
    throw new Error(`${operation.operationId}: ${status} ${type} is not documented`)
  const pointer = `/paths/${escaped(path)}/${method.toLowerCase()}/responses/${status}/content/${escaped(type)}/schema`
  for (const document of type === "application/x-ndjson" ? text.trimEnd().split("\n") : [text]) {
    const problem = faults(pointer, JSON.parse(document))
    if (problem !== "") throw new Error(`${operation.operationId}: ${status} ${problem}: ${document}`)
  }
}
