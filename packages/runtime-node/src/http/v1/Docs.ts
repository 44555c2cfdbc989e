/**
 * The OpenAPI document, and pages that explain it and the kinds of problems. The pages are made from the document, have
 * no script and load nothing, so they work offline; their policy allows their one style by its hash.
 */
import { createHash } from "node:crypto"
import { document } from "@invoice/client/OpenApi"
import * as Problems from "@invoice/client/Problems"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { Routes } from "../Router.ts"

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f4f6;border-radius:4px}code{padding:.1em .3em}
pre{padding:.8rem;overflow:auto;max-height:30rem}section{border-top:1px solid #d5d9de;margin-top:1.5rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #e4e7ea;padding:.3rem .5rem;text-align:left;vertical-align:top}
summary{cursor:pointer}a{color:#0b57d0}`

const headers = {
  "content-security-policy": `default-src 'none'; style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`
}

const escaped = (text: unknown): string =>
  String(text).replace(/[&<>"']/gu, (character) => `&#${character.codePointAt(0)};`)

/** Text with code in backticks, as descriptions have it. */
const prose = (text: unknown): string => escaped(text ?? "").replace(/`([^`]*)`/gu, "<code>$1</code>")

const page = (title: string, body: string): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
  `<title>${escaped(title)}</title><style>${style}</style></head><body><h1>${escaped(title)}</h1>${body}</body></html>`

/** A part of an OpenAPI document; every field may be missing. */
type Part = { readonly [name: string]: Part } & { readonly [Symbol.iterator]?: never }

const entries = (part: Part | undefined): ReadonlyArray<[string, Part]> => Object.entries(part ?? {})

const values = (part: Part | undefined): ReadonlyArray<Part> => Object.values(part ?? {})

const json = (value: unknown): string => `<pre>${escaped(JSON.stringify(value, null, 2))}</pre>`

const details = (summary: string, body: string): string => `<details><summary>${summary}</summary>${body}</details>`

const schemas = (content: Part | undefined): string =>
  entries(content)
    .map(([type, { schema }]) => `<code>${escaped(type)}</code> ${reference(schema)}`)
    .join("<br>")

const nameOf = (schema: Part | undefined): string | undefined =>
  schema?.["$ref"] === undefined ? undefined : String(schema["$ref"]).split("/").at(-1)

const reference = (schema: Part | undefined): string => {
  const name = nameOf(schema)
  if (name !== undefined) return `<a href="#${escaped(name)}">${escaped(name)}</a>`
  const any = values(schema?.["anyOf"]).map(reference)
  return any.length > 0 ? any.join(" or ") : `<code>${escaped(JSON.stringify(schema))}</code>`
}

const parameter = ({ description, in: place, name, required, schema }: Part): string =>
  `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}${required === undefined || String(required) === "false" ? "" : ", required"}</td>` +
  `<td>${prose(description)}<br>${reference(schema)}</td></tr>`

const response = ([status, { content, description, headers }]: [string, Part]): string =>
  `<tr><td>${escaped(status)}</td><td>${prose(description)}</td><td>${schemas(content)}${entries(headers)
    .map(([name, header]) => `<br>header <code>${escaped(name)}</code> ${prose(header["description"])}`)
    .join("")}</td></tr>`

const operation = (method: string, path: string, part: Part): string => {
  const parameters = values(part["parameters"])
  return (
    `<section id="${escaped(part["operationId"])}"><h2>${prose(part["summary"])}</h2>` +
    `<p><code>${escaped(method.toUpperCase())} ${escaped(path)}</code></p><p>${prose(part["description"])}</p>` +
    (parameters.length === 0 ? "" : `<table>${parameters.map(parameter).join("")}</table>`) +
    (part["requestBody"] === undefined ? "" : `<p>Body: ${schemas(part["requestBody"]["content"])}</p>`) +
    `${details("Answers", `<table>${entries(part["responses"]).map(response).join("")}</table>`)}</section>`
  )
}

const problem = (kind: Problems.Kind): string => {
  const { about, status, title } = Problems.kinds[kind]
  return `<section id="${kind}"><h2>${escaped(title)}</h2><p><code>${Problems.typeOf(kind)}</code>, status ${status}</p><p>${prose(about)}</p></section>`
}

const docs = (spec: Part): string => {
  const operations = entries(spec["paths"]).flatMap(([path, item]) =>
    entries(item).map(([method, part]) => operation(method, path, part))
  )
  const definitions = entries(spec["components"]?.["schemas"]).map(
    ([name, schema]) => `<section id="${escaped(name)}"><h2>${escaped(name)}</h2>${json(schema)}</section>`
  )
  const about = prose(spec["info"]?.["description"])
  return page(
    "Invoices, REST v1",
    `<p>${about} The same as <a href="/openapi.json">OpenAPI 3.1</a>.</p>${operations.join("")}` +
      `<section><h2 id="problems">Problems</h2>${details("Every kind", Problems.all.map(problem).join(""))}</section>` +
      `<section><h2>Schemas</h2>${details("Every schema", definitions.join(""))}</section>`
  )
}

const html = (text: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(text, { contentType: "text/html; charset=utf-8", headers })

/** Makes the answer when it is asked for, since a program that starts has no need of it; and only once. */
const get = (make: () => HttpServerResponse.HttpServerResponse): Routes[string] => {
  let response: HttpServerResponse.HttpServerResponse | undefined
  return {
    GET: () =>
      Effect.sync(() => {
        response ??= make()
        return response
      })
  }
}

/** `/openapi.json`, `/docs`, and a page for each kind of problem. */
export const routes = (): Routes => {
  const problems = Problems.all.map((kind): [string, Routes[string]] => [
    Problems.typeOf(kind),
    get(() => html(page(Problems.kinds[kind].title, `${problem(kind)}<p><a href="/docs">All of the API</a></p>`)))
  ])
  return {
    "/openapi.json": get(() =>
      HttpServerResponse.text(JSON.stringify(document()), { contentType: "application/json" })
    ),
    "/docs": get(() => html(docs(document() as Part))),
    ...Object.fromEntries(problems)
  }
}
