/** The process of the control group: sends a steady load, and reports every request to the suite. */
import type { Sample } from "../Samples.ts"
import * as Clients from "./Clients.ts"
import type { Aim, Order, Report } from "./ControlGroup.ts"

const tell = (report: Report): void => {
  process.send?.(report)
}

let samples: Array<Sample> = []
const report = (): void => {
  if (samples.length === 0) return
  tell({ samples })
  samples = []
}
setInterval(report, 50)

const pending = new Set<Promise<void>>()

/** Sends a request and records it; `at` is when it was due, so that a late start counts as waiting. */
const send = (clients: Clients.Clients, kind: Clients.Kind, at: number): Promise<void> => {
  const startedAt = performance.now()
  const lateness = Date.now() - at
  const sending = clients.kinds[kind]().then(({ ok, text }) => {
    samples.push({ kind, at, millis: lateness + performance.now() - startedAt, answer: text, ok })
    pending.delete(sending)
  })
  pending.add(sending)
  return sending
}

/** Sends a request of each kind again and again, whether or not the ones before are answered. Answers how to stop. */
const steady = (clients: Clients.Clients, { everyMillis, kinds }: Aim): (() => void) => {
  const startedAt = Date.now()
  const due = kinds.map((_, index) => startedAt + (index * everyMillis) / kinds.length)
  const timer = setInterval(() => {
    for (const [index, kind] of kinds.entries()) {
      for (let at = due[index] ?? 0; at <= Date.now(); at += everyMillis) {
        due[index] = at + everyMillis
        void send(clients, kind, at)
      }
    }
  }, 5)
  return () => clearInterval(timer)
}

/** Creates invoices as fast as they are answered. */
const eager = (clients: Clients.Clients, count: number): (() => void) => {
  let stopped = false
  const loop = async (): Promise<void> => {
    while (!stopped) await send(clients, "REST create", Date.now())
  }
  for (let index = 0; index < count; index++) void loop()
  return () => {
    stopped = true
  }
}

let stop = (): void => {}

process.on("message", (order: Order) => {
  if ("aim" in order) {
    stop()
    if (order.aim === undefined) return
    const { aim } = order
    const clients = Clients.make(aim)
    const ends = [steady(clients, aim), eager(clients, aim.eager)]
    stop = () => {
      for (const end of ends) end()
      void Promise.all(pending).then(clients.close)
      stop = () => {}
    }
  } else {
    void Promise.all(pending).then(() => {
      report()
      tell({ finished: order.finish })
    })
  }
})
// the suite has ended, however it did
process.once("disconnect", () => process.exit(0))
// the terminal's Ctrl-C reaches every process of the group; the suite ends this one
process.on("SIGINT", () => {})
