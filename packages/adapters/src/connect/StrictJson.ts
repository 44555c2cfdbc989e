/**
 * Refuses JSON with fields that a message doesn't have, as protobuf's JSON mapping says; Connect ignores them by
 * default. Refuses JSON that is not UTF-8 or has too many values, too. In the binary format they stay allowed, since a schema grows by them.
 */
import type { DescField, DescMessage, DescMethod } from "@bufbuild/protobuf"
import { hasCustomJsonRepresentation } from "@bufbuild/protobuf/wkt"
import { Code, ConnectError, type ConnectRouter, type MethodImpl } from "@connectrpc/connect"
import { InvalidInvoice, JsonValues, LimitMetrics, type Violation } from "@invoice/core"
import * as UnknownField from "@invoice/core/UnknownField"
import { Predicate } from "effect"
import * as Errors from "./Errors.ts"

/** Maximum number of unknown fields that are listed, of a message and all messages within it. */
const limit = 100

/** Registers methods at a router so that each reads JSON strictly. */
export const register =
  (router: ConnectRouter, options: { readonly readMaxBytes: number }) =>
  <M extends DescMethod>(method: M, implementation: MethodImpl<M>): void => {
    router.rpc(method, implementation, { ...options, jsonOptions: jsonOptions(method.input) })
  }

/**
 * `ignoreUnknownFields: false` alone would refuse such a message, but it names only the first unknown field, and not
 * its path. `textDecoder`, an option of Connect that its types don't show, sees the text of a message before Connect
 * parses it.
 */
const jsonOptions = (message: DescMessage) => ({
  ignoreUnknownFields: false,
  textDecoder: {
    decode: (bytes?: Uint8Array): string => {
      const text = decode(bytes)
      if (JsonValues.count(text, JsonValues.maxOfRequest) > JsonValues.maxOfRequest) {
        LimitMetrics.reached("json_values")
        throw new ConnectError(`the message has more than ${JsonValues.maxOfRequest} values`, Code.InvalidArgument)
      }
      const violations = unknownFields(message, text)
      if (violations.length > 0) {
        throw Errors.toConnect(new InvalidInvoice({ kind: "syntax", violations }))
      }
      return text
    }
  }
})

const utf8 = new TextDecoder("utf-8", { fatal: true })

const decode = (bytes: Uint8Array | undefined): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    // not replaced by U+FFFD, which would store another text than was sent
    throw new ConnectError("the message is not UTF-8", Code.InvalidArgument)
  }
}

/** The unknown fields in the JSON of a message; empty for a text that is not JSON, which Connect's parser refuses. */
const unknownFields = (message: DescMessage, text: string): ReadonlyArray<Violation.Violation> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return []
  }
  const found: Array<Violation.Violation> = []
  search(message, json, "", found)
  return found.slice(0, limit)
}

const search = (message: DescMessage, json: unknown, path: string, found: Array<Violation.Violation>): void => {
  if (!isRecord(json) || hasCustomJsonRepresentation(message) || found.length >= limit) {
    return
  }
  const fields = fieldsOf(message)
  for (const [key, value] of Object.entries(json)) {
    const field = fields.get(key)
    if (field?.fieldKind === "message") {
      search(field.message, value, `${path}/${key}`, found)
    } else if (field?.fieldKind === "list" && field.listKind === "message" && Array.isArray(value)) {
      for (const [index, item] of value.entries()) search(field.message, item, `${path}/${key}/${index}`, found)
    }
  }
  found.push(...UnknownField.find(json, fields, path))
}

const isRecord = (json: unknown): json is Readonly<Record<string, unknown>> =>
  Predicate.isObject(json) && !Array.isArray(json)

const known = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>()

/** By the names that JSON may use: `unitPrice`, and `unit_price` as in the proto file. */
const fieldsOf = (message: DescMessage): ReadonlyMap<string, DescField> => {
  const fields =
    known.get(message) ??
    new Map([
      ...message.fields.map((field) => [field.jsonName, field] as const),
      ...message.fields.map((field) => [field.name, field] as const)
    ])
  known.set(message, fields)
  return fields
}
