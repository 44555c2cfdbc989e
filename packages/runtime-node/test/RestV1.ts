/** REST v1 on a port, for tests. */
import { Admission } from "@invoice/adapters/connect"
import { Memory } from "@invoice/adapters/memory"
import { type InvoiceStore, Invoices, type Outbox, Profile, ProfileValidator } from "@invoice/core"
import * as Listener from "@invoice/runtime-node/http/Listener"
import * as OriginPolicy from "@invoice/runtime-node/http/OriginPolicy"
import * as Router from "@invoice/runtime-node/http/Router"
import * as Application from "@invoice/runtime-node/http/v1/Application"
import * as Docs from "@invoice/runtime-node/http/v1/Docs"
import { Effect, Layer } from "effect"
import * as Contract from "./Contract.ts"

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** Every answer is compared with the OpenAPI document. */
export const call = async (url: string, init?: RequestInit): Promise<Answer> => {
  const response = await fetch(url, init)
  const answer = { status: response.status, headers: response.headers, text: await response.text() }
  Contract.compare(init?.method ?? "GET", url, answer)
  return answer
}

/** Posts a document as JSON, or a text as it is. */
export const send = (url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  call(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body)
  })

/** The URL of REST v1 on a store, by default one in memory. */
export const serve = (
  store: Layer.Layer<InvoiceStore | Outbox> | Layer.Layer<InvoiceStore> = Memory.layer,
  stopping: AbortSignal = new AbortController().signal,
  { imports = 100, inFlight = 100 } = {}
) =>
  Effect.gen(function* () {
    const fallback = yield* Application.make({
      stopping,
      watches: Admission.make(100, "watches"),
      imports: Admission.make(imports, "imports")
    })
    const handler = yield* Router.handler(Docs.routes(), {
      inFlight: Admission.make(inFlight, "in_flight"),
      streamed: Application.streamed,
      unlimited: new Set([...Application.watched, ...Application.streamed]),
      fallback
    })
    const policy = { hosts: "loopback", origins: [], tls: false } as const
    return yield* Listener.listen(OriginPolicy.guard(policy, handler), {
      address: { host: "127.0.0.1", port: 0 },
      speaks: "any",
      streamed: Application.streamed,
      idleMillis: 5_000,
      stopMillis: 1_000
    })
  }).pipe(Effect.provide(Layer.provideMerge(Invoices.layer, [store, ProfileValidator.layer(Profile.core)])))
