import { assert, describe, it } from "@effect/vitest"
import * as Invoice from "../src/domain/Invoice.ts"
import * as InvoiceEvent from "../src/domain/InvoiceEvent.ts"
import type { Message } from "../src/domain/Message.ts"
import * as OutboxEvent from "../src/domain/OutboxEvent.ts"
import * as Timestamp from "../src/domain/Timestamp.ts"
import type { Verdict } from "../src/domain/Verdict.ts"
import type { Violation } from "../src/domain/Violation.ts"

const id = Invoice.parseId("53150a25-02f1-540a-99e7-48e267fd6d13") ?? assert.fail()
const at = Timestamp.fromMillis(Date.UTC(2026, 10, 25, 12))
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
const eventId = "0d9b0a54-1c0f-4f52-8d1b-2f6e1e0b7a11"

const error: Violation = { code: "BR-CO-10", severity: "error", path: "/amount", message: "the sum is another" }
const warning: Violation = { code: "T-2", severity: "warning", path: "", message: "a warning" }

const approved = (...violations: ReadonlyArray<Violation>): Verdict => ({ status: "Approved", violations, by: "t@1" })
const rejected = (...violations: ReadonlyArray<Violation>): Verdict => ({ status: "Rejected", violations, by: "t@1" })

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array): string => new TextDecoder().decode(value)

const recorded = (draft: InvoiceEvent.Draft): OutboxEvent.OutboxEvent => ({
  ...draft,
  id: eventId,
  payload: bytes(draft.payload),
  at,
  traceparent
})

/** As an earlier version of this project left it in an outbox. */
const formerly = (draft: InvoiceEvent.Draft, payload: object): OutboxEvent.OutboxEvent => ({
  ...recorded(draft),
  payload: bytes(JSON.stringify(payload))
})

const oldCreated = formerly(InvoiceEvent.created(id), { id, status: "Pending", version: 1 })
const oldApproved = formerly(InvoiceEvent.decided(id, 2, approved()), {
  id,
  status: "Approved",
  version: 2,
  violations: []
})
const oldRejected = formerly(InvoiceEvent.decided(id, 2, rejected(error)), {
  id,
  status: "Rejected",
  version: 2,
  violations: [error]
})

const foreign = {
  ...oldCreated,
  type: "order.placed",
  topic: "orders",
  payload: bytes(JSON.stringify({ id: "order", version: 1 }))
}

const newValue = `{"id":"${id}"}`

describe("a message of an event", () => {
  it("has on new_invoice exactly the bytes that the reference writes: an id and nothing else", () => {
    const message = OutboxEvent.toMessage(recorded(InvoiceEvent.created(id)))
    assert.strictEqual(message.topic, "new_invoice")
    assert.strictEqual(message.key, id)
    assert.deepStrictEqual(message.value, bytes('{"id":"53150a25-02f1-540a-99e7-48e267fd6d13"}'))
  })

  it("tells a verdict in its value, and reasons when there are any", () => {
    const told = (verdict: Verdict): string =>
      text(OutboxEvent.toMessage(recorded(InvoiceEvent.decided(id, 2, verdict))).value)
    assert.strictEqual(told(approved()), `{"id":"${id}","status":"Approved","version":2}`)
    assert.strictEqual(
      told(approved(warning)),
      `{"id":"${id}","status":"Approved","version":2,"violations":[${JSON.stringify(warning)}]}`
    )
    assert.strictEqual(
      told(rejected(error, warning)),
      `{"id":"${id}","status":"Rejected","version":2,"violations":[${JSON.stringify(error)},${JSON.stringify(warning)}]}`
    )
    assert.strictEqual(told(rejected()), `{"id":"${id}","status":"Rejected","version":2,"violations":[]}`)
  })

  it("has CloudEvents headers with version and status on all three topics, and the traceparent as it was", () => {
    for (const [draft, type, status] of [
      [InvoiceEvent.created(id), "invoice.created", "Pending"],
      [InvoiceEvent.decided(id, 2, approved()), "invoice.approved", "Approved"],
      [InvoiceEvent.decided(id, 7, rejected(error)), "invoice.rejected", "Rejected"]
    ] as const) {
      assert.deepStrictEqual(OutboxEvent.toMessage(recorded(draft)).headers, {
        ce_specversion: "1.0",
        ce_id: eventId,
        ce_type: type,
        ce_source: "/invoice",
        ce_subject: id,
        ce_time: at,
        ce_version: String(draft.version),
        ce_status: status,
        "content-type": "application/json",
        traceparent
      })
    }
  })

  it("names its CloudEvents attributes as the specification allows: up to 20 of a-z and 0-9, and never data", () => {
    const { headers } = OutboxEvent.toMessage(recorded(InvoiceEvent.created(id)))
    for (const name of Object.keys(headers).filter((name) => name.startsWith("ce_"))) {
      assert.match(name, /^ce_(?!data$)[a-z][a-z0-9]{0,19}$/u)
    }
  })

  it("has today's value and headers also when an earlier version wrote the event", () => {
    assert.deepStrictEqual(OutboxEvent.toMessage(oldCreated), OutboxEvent.toMessage(recorded(InvoiceEvent.created(id))))
    const { headers, value } = OutboxEvent.toMessage(oldApproved)
    assert.strictEqual(text(value), text(oldApproved.payload))
    assert.strictEqual(headers["ce_status"], "Approved")
    assert.strictEqual(headers["ce_version"], "2")
  })

  it("carries the payload of what we did not write to the byte, and claims no status for it", () => {
    for (const payload of ['{"id": 7', "", '{"id":"x","status":"Pending","version":1}', `{"id":"${id}","version":1}`]) {
      assert.strictEqual(text(OutboxEvent.toMessage({ ...oldCreated, payload: bytes(payload) }).value), payload)
    }
    const { headers, value } = OutboxEvent.toMessage(foreign)
    assert.deepStrictEqual(value, foreign.payload)
    assert.isUndefined(headers["ce_status"])
    assert.strictEqual(headers["ce_version"], "1")
  })
})

describe("a message that an earlier version published", () => {
  const { ce_status: _, ce_version: __, ...headers } = OutboxEvent.toMessage(oldCreated).headers
  const old: Message = { topic: "new_invoice", key: id, value: oldCreated.payload, headers }

  it("is upgraded to what is published today", () => {
    assert.deepStrictEqual(OutboxEvent.upgrade(old), OutboxEvent.toMessage(oldCreated))
  })

  it("stays as it is when it is a verdict or of today, and so does whatever is not ours", () => {
    for (const message of [
      OutboxEvent.toMessage(recorded(InvoiceEvent.created(id))),
      OutboxEvent.toMessage(oldRejected),
      { ...old, headers: {} },
      { ...old, headers: { ...headers, ce_source: "/orders" } },
      { ...old, value: bytes(`{"id": "${id}"}`) },
      { ...old, headers: { ...headers, ce_type: "order.placed" } }
    ]) {
      assert.strictEqual(OutboxEvent.upgrade(message), message)
    }
  })
})

describe("the change that an event tells of", () => {
  it("is the same whether this version or an earlier one wrote it", () => {
    const pending = { id, status: "Pending", version: 1, violations: [], at } as const
    assert.deepStrictEqual(OutboxEvent.toChange(recorded(InvoiceEvent.created(id))), pending)
    assert.deepStrictEqual(OutboxEvent.toChange(oldCreated), pending)
    const accepted = { id, status: "Approved", version: 2, violations: [], at } as const
    assert.deepStrictEqual(OutboxEvent.toChange(recorded(InvoiceEvent.decided(id, 2, approved()))), accepted)
    assert.deepStrictEqual(OutboxEvent.toChange(oldApproved), accepted)
    const refused = { id, status: "Rejected", version: 2, violations: [error], at } as const
    assert.deepStrictEqual(OutboxEvent.toChange(recorded(InvoiceEvent.decided(id, 2, rejected(error)))), refused)
    assert.deepStrictEqual(OutboxEvent.toChange(oldRejected), refused)
  })

  it("has the warnings of an approval", () => {
    assert.deepStrictEqual(OutboxEvent.toChange(recorded(InvoiceEvent.decided(id, 2, approved(warning))))?.violations, [
      warning
    ])
  })

  it("is none when the event is of another type or about no invoice", () => {
    assert.isUndefined(OutboxEvent.toChange(foreign))
    assert.isUndefined(OutboxEvent.toChange({ ...oldCreated, key: "no invoice" }))
  })
})

describe("the identity of a message", () => {
  const identityOf = (from: Message) => {
    const decoded = InvoiceEvent.fromMessage(from)
    return decoded?.version === undefined ? undefined : { key: decoded.id, version: decoded.version }
  }
  const message = OutboxEvent.toMessage(recorded(InvoiceEvent.decided(id, 2, approved())))
  const without = (...names: ReadonlyArray<string>): Message => ({
    ...message,
    headers: Object.fromEntries(Object.entries(message.headers).filter(([name]) => !names.includes(name)))
  })

  it("is its key and version by the headers alone", () => {
    assert.deepStrictEqual(identityOf(message), { key: id, version: 2 })
    assert.deepStrictEqual(identityOf({ ...message, value: bytes("anything") }), { key: id, version: 2 })
  })

  it("is read from the value of a message of ours that an earlier version published", () => {
    const published = (event: OutboxEvent.OutboxEvent): Message => {
      const { headers, ...rest } = OutboxEvent.toMessage(event)
      const { ce_status: _, ce_version: __, ...without } = headers
      return { ...rest, value: event.payload, headers: without }
    }
    assert.deepStrictEqual(identityOf(published(oldCreated)), { key: id, version: 1 })
    assert.deepStrictEqual(identityOf(published(oldRejected)), { key: id, version: 2 })
  })

  it("is none for whatever is not provably ours, however much its value looks like it", () => {
    for (const other of [
      without("ce_source"),
      without("ce_type"),
      without("ce_subject"),
      { ...message, headers: {} },
      { ...message, headers: { ...message.headers, ce_source: "/orders" } },
      { ...message, headers: { ...message.headers, ce_type: "order.placed" } },
      { ...message, headers: { ...message.headers, ce_subject: "" } },
      { ...without("ce_version"), value: bytes(JSON.stringify({ id: "another", version: 2 })) },
      { ...without("ce_version"), value: bytes(newValue) },
      { ...without("ce_version"), value: bytes("no json") },
      { ...without("ce_version"), value: bytes("null") },
      { ...without("ce_version"), value: bytes(JSON.stringify({ id, version: 1.5 })) },
      { ...without("ce_version"), value: bytes(JSON.stringify({ id, version: 0 })) }
    ]) {
      assert.isUndefined(identityOf(other), JSON.stringify(other.headers))
    }
    for (const version of ["", "0", "-1", "1.5", "1e3", "01", " 1", "9".repeat(40)]) {
      const headers = { ...message.headers, ce_version: version }
      assert.isUndefined(identityOf({ ...message, headers }), version)
    }
  })
})
