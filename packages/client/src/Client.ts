/**
 * A client of REST v1 for any program: promises, async iterables and plain data, over `fetch`.
 *
 * @example
 * import { createClient } from "@invoice/client"
 *
 * const client = createClient({ baseUrl: "http://localhost:8080" })
 * const { invoice } = await client.create(document, { idempotencyKey: "order-17" })
 * for await (const { change } of client.events({ from: "beginning" })) console.log(change.id, change.status)
 */
import * as EventStream from "./EventStream.ts"
import type {
  Change,
  HistoryEntry,
  ImportedInvoiceInput,
  ImportResult,
  Invoice,
  InvoiceInput,
  InvoicePage,
  InvoiceStatus,
  Problem,
  Verdict
} from "./Model.ts"
import { type Kind, typeOf } from "./Problems.ts"

export interface ClientOptions {
  /** Such as `https://invoices.example.com`. */
  readonly baseUrl: string
  /** The token to send, or a function that has one; it is asked for each request. */
  readonly token?: string | (() => string | Promise<string>)
  /** What sends the requests; default the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch
}

export interface CallOptions {
  /** Ends the call, which rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

export interface CreateOptions extends CallOptions {
  /** A name for this request: retries with the same name are answered as the first one was, for 24 hours. */
  readonly idempotencyKey?: string
}

export interface Created {
  /** False when the same invoice was there already. */
  readonly created: boolean
  readonly invoice: Invoice
}

/** Filters; a time is RFC 3339. `…After` includes it, `…Before` doesn't. */
export interface ListQuery {
  readonly status?: InvoiceStatus
  readonly customerId?: string
  readonly currency?: string
  readonly dueAfter?: string
  readonly dueBefore?: string
  readonly createdAfter?: string
  readonly createdBefore?: string
  /** Most invoices of a page, 1 to 200. Default 50. */
  readonly limit?: number
  /** `next_cursor` of the page before. */
  readonly cursor?: string
}

export interface EventOptions extends CallOptions {
  /** Where to begin without `after`: with changes from now on, or with the oldest that is kept. Default `now`. */
  readonly from?: "now" | "beginning"
  /** Begins behind the event with this id. */
  readonly after?: string
}

export interface Event {
  /** Goes on behind this event when it is given as `after`. */
  readonly id: string
  readonly change: Change
}

/** The server's answer is a problem, or not an answer of this API. */
export class ProblemError extends Error {
  override readonly name = "ProblemError"
  readonly problem: Problem
  /** Seconds to wait before the same request is sent again; undefined when the server names none. */
  readonly retryAfter: number | undefined

  constructor(problem: Problem, retryAfter: number | undefined) {
    super(`${problem.title}: ${problem.detail}`)
    this.problem = problem
    this.retryAfter = retryAfter
  }

  is(kind: Kind): boolean {
    return this.problem.type === typeOf(kind)
  }
}

export interface Client {
  /** Stores an invoice. Rejects with a `ProblemError`, as all methods do. */
  readonly create: (invoice: InvoiceInput, options?: CreateOptions) => Promise<Created>
  readonly get: (id: string, options?: CallOptions) => Promise<Invoice>
  /** One page, newest first. */
  readonly page: (query?: ListQuery, options?: CallOptions) => Promise<InvoicePage>
  /** All invoices, newest first, page by page. */
  readonly list: (query?: ListQuery, options?: CallOptions) => AsyncIterable<Invoice>
  readonly history: (id: string, options?: CallOptions) => Promise<ReadonlyArray<HistoryEntry>>
  readonly validate: (invoice: InvoiceInput, options?: CallOptions) => Promise<Verdict>
  /**
   * Stores any number of invoices and answers what became of each, in their order; `line` is the place among them, from
   * 1. It sends them in parts of at most 500, since a browser can't send a body while it reads the answer.
   */
  readonly importAll: (
    invoices: Iterable<ImportedInvoiceInput> | AsyncIterable<ImportedInvoiceInput>,
    options?: CallOptions
  ) => AsyncIterable<ImportResult>
  /** Every change, each once. It connects again when the connection breaks or the server stops, until the signal. */
  readonly events: (options?: EventOptions) => AsyncIterable<Event>
}

type Send = (path: string, init?: RequestInit) => Promise<Response>

const problemOf = async (response: Response): Promise<ProblemError> => {
  const text = await response.text()
  const wait = Number(response.headers.get("retry-after") ?? Number.NaN)
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json") === true
  const problem: Problem = isProblem
    ? JSON.parse(text)
    : { type: "about:blank", title: "Unexpected Answer", status: response.status, detail: text.slice(0, 200) }
  return new ProblemError(problem, Number.isFinite(wait) ? wait : undefined)
}

const sender =
  ({ baseUrl, fetch = globalThis.fetch, token }: ClientOptions): Send =>
  async (path, init = {}) => {
    const headers = new Headers(init.headers)
    const value = typeof token === "function" ? await token() : token
    if (value !== undefined) headers.set("authorization", `Bearer ${value}`)
    const response = await fetch(baseUrl.replace(/\/$/u, "") + path, { ...init, headers })
    if (!response.ok) throw await problemOf(response)
    return response
  }

const signalOf = ({ signal }: CallOptions): RequestInit => (signal === undefined ? {} : { signal })

const post = (body: unknown, options: CallOptions, headers: Record<string, string> = {}): RequestInit => ({
  ...signalOf(options),
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body)
})

const queryOf = (query: ListQuery): string => {
  const names = {
    status: query.status,
    customer_id: query.customerId,
    currency: query.currency,
    due_after: query.dueAfter,
    due_before: query.dueBefore,
    created_after: query.createdAfter,
    created_before: query.createdBefore,
    limit: query.limit,
    cursor: query.cursor
  }
  const given = Object.entries(names).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`
}

const pathOf = (id: string): string => `/v1/invoices/${encodeURIComponent(id)}`

async function* list(page: Client["page"], query: ListQuery, options: CallOptions): AsyncGenerator<Invoice> {
  let cursor = query.cursor
  do {
    const { invoices, next_cursor } = await page(cursor === undefined ? query : { ...query, cursor }, options)
    yield* invoices
    cursor = next_cursor
  } while (cursor !== undefined)
}

const partLines = 500
const partLength = 1_000_000

async function* importPart(
  send: Send,
  part: ReadonlyArray<string>,
  before: number,
  options: CallOptions
): AsyncGenerator<ImportResult> {
  const headers = { "content-type": "application/x-ndjson" }
  const response = await send("/v1/invoices:import", {
    ...signalOf(options),
    method: "POST",
    headers,
    body: part.join("\n")
  })
  let answered = 0
  for await (const line of response.body === null ? [] : EventStream.lines(response.body)) {
    const result: ImportResult = JSON.parse(line)
    answered++
    yield { ...result, line: before + result.line }
  }
  if (answered < part.length) throw new TypeError("the answer ended before every invoice was answered")
}

async function* importAll(
  send: Send,
  invoices: Iterable<ImportedInvoiceInput> | AsyncIterable<ImportedInvoiceInput>,
  options: CallOptions
): AsyncGenerator<ImportResult> {
  let part: Array<string> = []
  let length = 0
  let before = 0
  for await (const invoice of invoices) {
    const line = JSON.stringify(invoice)
    part.push(line)
    length += line.length
    if (part.length === partLines || length > partLength) {
      yield* importPart(send, part, before, options)
      before += part.length
      part = []
      length = 0
    }
  }
  if (part.length > 0) yield* importPart(send, part, before, options)
}

const retryMillis = 1_000

/** Waits before a new connection, or until the signal. */
const pause = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, retryMillis)
    signal?.addEventListener("abort", end)
  })

/** Whether the same request may be answered a little later: the network is away, or the server says so. */
const isTemporary = (error: unknown): boolean =>
  error instanceof ProblemError ? [429, 502, 503, 504].includes(error.problem.status) : error instanceof TypeError

async function* events(send: Send, { after, from = "now", signal }: EventOptions): AsyncGenerator<Event> {
  let cursor = after
  for (;;) {
    signal?.throwIfAborted()
    try {
      const headers: Record<string, string> = cursor === undefined ? {} : { "last-event-id": cursor }
      const response = await send(`/v1/events?from=${from}`, {
        ...signalOf(signal === undefined ? {} : { signal }),
        headers
      })
      for await (const { data, id } of response.body === null ? [] : EventStream.events(response.body)) {
        cursor = id ?? cursor
        if (data !== undefined && cursor !== undefined) yield { id: cursor, change: JSON.parse(data) }
      }
    } catch (error) {
      signal?.throwIfAborted()
      if (!isTemporary(error)) throw error
    }
    await pause(signal)
  }
}

/** Makes a client. It sends nothing until a method is called. */
export const createClient = (options: ClientOptions): Client => {
  const send = sender(options)
  const json = async (path: string, init: RequestInit) => (await send(path, init)).json()
  const page: Client["page"] = (query = {}, call = {}) => json(`/v1/invoices${queryOf(query)}`, signalOf(call))
  return {
    create: async (invoice, call = {}) => {
      const { idempotencyKey } = call
      const headers: Record<string, string> = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }
      const response = await send("/v1/invoices", post(invoice, call, headers))
      return { created: response.status === 201, invoice: await response.json() }
    },
    get: (id, call = {}) => json(pathOf(id), signalOf(call)),
    page,
    list: (query = {}, call = {}) => list(page, query, call),
    history: async (id, call = {}) => (await json(`${pathOf(id)}/history`, signalOf(call))).history,
    validate: (invoice, call = {}) => json("/v1/invoices:validate", post(invoice, call)),
    importAll: (invoices, call = {}) => importAll(send, invoices, call),
    events: (call = {}) => events(send, call)
  }
}
