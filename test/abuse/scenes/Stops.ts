/** A stop while clients stall or keep their connections. */
import { randomUUID } from "node:crypto"
import { Agent, type IncomingMessage, request } from "node:http"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Seeds from "../Seeds.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

const stopSeconds = (long: boolean): number => (long ? 9 : 2)
const setup: NonNullable<Scene["setup"]> = (long) => ({
  program: "up",
  env: { SHUTDOWN_TIMEOUT_MS: `${stopSeconds(long) * 1_000}` }
})
/** Good clients find the program gone; the scene itself judges how it went. */
const bounds = { p99: undefined, success: undefined } as const

/** Everything that a client can leave unfinished. */
const stall = async (stage: Stage, huge: string): Promise<void> => {
  const deaf = await Sessions.open(stage, { window: 0 })
  const { service } = Messages
  for (let index = 0; index < 20; index++) {
    Sessions.call(stage, deaf, `${service}/Get`, { bytes: Messages.framed(Messages.get(huge)), read: false })
  }
  Sessions.call(stage, deaf, `${service}/Watch`, { bytes: Messages.framed(Messages.watchFromBeginning), read: false })
  const session = await Sessions.open(stage)
  Sessions.call(stage, session, `${service}/Watch`, { bytes: Messages.framed(Messages.watchFromNow) })
  Sessions.call(stage, session, `${service}/Import`, { bytes: Messages.framed(Messages.create()), end: false })
  Sessions.call(stage, session, `${service}/Create`, { bytes: Buffer.from([0, 0, 0, 1, 0]), end: false })
  const starts = [
    Sockets.request("/api/invoice/create", "{", { headers: { "content-length": 1_000 } }),
    Sockets.request("/api/invoice/get", JSON.stringify({ id: huge })).subarray(0, 40),
    Buffer.alloc(0)
  ]
  for (const start of starts) (await Sockets.open(stage)).write(start)
  const reader = await Sockets.open(stage)
  reader.pause()
  reader.write(Sockets.request("/api/invoice/get", JSON.stringify({ id: huge }), { close: false }))
}

const state = { huge: "" }

const stalled: Scene = {
  name: "a stop with stalled clients",
  promise: "≤ SHUTDOWN_TIMEOUT_MS, exit code 0",
  setup,
  own: true,
  bounds,
  prepare: async (stage) => {
    state.huge = await Seeds.hugeInvoice(stage)
  },
  attack: async (stage) => {
    await stall(stage, state.huge)
    await stage.hold(1)
    const startedAt = performance.now()
    const code = await Promise.race([
      stage.program.running.signal("SIGTERM"),
      stage.hold(40).then(() => "not at all in 40 s")
    ])
    const seconds = (performance.now() - startedAt) / 1_000
    const text = `ended with ${code} after ${seconds.toFixed(1)} s`
    stage.findings.note(text)
    stage.findings.expect(code === 0, text)
    // the process itself takes a moment to end
    stage.findings.expect(seconds <= stopSeconds(stage.long) + 1, `${text}, bound ${stopSeconds(stage.long)} s`)
  }
}

/** Creates one invoice after another on one connection, until the program ends it. Answers how it did. */
const keepCreating = async (api: string): Promise<string> => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    for (;;) {
      const answer = await new Promise<IncomingMessage | Error>((resolve) => {
        const sent = request(`${api}/api/invoice/create`, {
          agent,
          method: "POST",
          headers: { "content-type": "application/json" }
        })
        sent.once("error", resolve)
        sent.once("response", (response) => {
          response.once("error", resolve)
          response.once("end", () => resolve(response))
          response.resume()
        })
        sent.end(
          `{"invoice":{"id":"${randomUUID()}","customer_id":"c78aef21-ae9f-4561-a2c9-3b7a7ea2f990","amount":"10.00","currency":"USD","items":[{"description":"x","quantity":1,"unit_price":"10.00","total":"10.00"}]}}`
        )
      })
      if (answer instanceof Error) return `${"code" in answer ? String(answer.code) : ""} ${answer.message}`
      if (answer.headers.connection === "close") return "told to close"
    }
  } finally {
    agent.destroy()
  }
}

const keptAlive: Scene = {
  name: "a stop with 64 clients that keep their connections",
  promise: "answers say Connection: close, and no request is lost",
  setup,
  own: true,
  bounds,
  attack: async (stage) => {
    const { findings, program } = stage
    const clients = Promise.all(Array.from({ length: 64 }, () => keepCreating(program.api)))
    await stage.hold(stage.pick(1, 3))
    const startedAt = performance.now()
    const code = await program.running.signal("SIGTERM")
    const seconds = (performance.now() - startedAt) / 1_000
    const fates = await clients
    for (const fate of fates) findings.answered(fate)
    const lost = fates.filter((fate) => fate !== "told to close").length
    findings.note(`ended with ${code} after ${seconds.toFixed(1)} s`)
    findings.expect(
      code === 0 && seconds <= stopSeconds(stage.long) + 1,
      `ended with ${code} after ${seconds.toFixed(1)} s`
    )
    findings.expect(lost === 0, `${lost} of 64 clients lost a request, or were not told to close`)
  }
}

export const scenes: ReadonlyArray<Scene> = [stalled, keptAlive]
