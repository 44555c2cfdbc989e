/**
 * Good clients, who must be served while others attack. They live in a process of their own, so that what they measure
 * is the service and not the load that the attack puts on the suite's process.
 */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Sample } from "../Samples.ts"
import type { Kind } from "./Clients.ts"

/** What the control group sends, and where. */
export interface Aim {
  readonly api: string
  readonly grpc: string
  /** The id of an invoice that is stored. */
  readonly known: string
  /** What the program lets in with; empty for none. */
  readonly token: string
  readonly kinds: ReadonlyArray<Kind>
  /** Milliseconds between two requests of a kind. */
  readonly everyMillis: number
  /** Clients that create as fast as they are answered, besides. */
  readonly eager: number
}

/** From the suite to the process. */
export type Order = { readonly aim: Aim | undefined } | { readonly finish: number }

/** From the process to the suite. */
export type Report = { readonly samples: ReadonlyArray<Sample> } | { readonly finished: number }

export interface ControlGroup {
  /** Sends this load from now on; none when undefined. Forgets the samples so far. */
  readonly aim: (aim: Aim | undefined) => void
  /** The samples since the last aim, once every request that was due by now is answered or given up. */
  readonly finished: () => Promise<ReadonlyArray<Sample>>
  readonly stop: () => void
}

export const start = (): ControlGroup => {
  const child = fork(fileURLToPath(new URL("main.ts", import.meta.url)), { execArgv: [], serialization: "advanced" })
  let samples: Array<Sample> = []
  let last = 0
  const waiting = new Map<number, () => void>()
  const gone = new Promise<never>((_, reject) => {
    child.once("exit", () => reject(new Error("the control group's process has ended")))
  })
  gone.catch(() => {})
  child.on("message", (report: Report) => {
    if ("samples" in report) samples.push(...report.samples)
    else waiting.get(report.finished)?.()
  })
  // while the suite stops, a scene may still give orders
  const tell = (order: Order): void => void (child.connected && child.send(order, () => {}))
  return {
    aim: (aim) => {
      samples = []
      tell({ aim })
    },
    finished: async () => {
      const number = ++last
      const finished = new Promise<void>((resolve) => void waiting.set(number, resolve))
      tell({ finish: number })
      await Promise.race([finished, gone])
      waiting.delete(number)
      return [...samples]
    },
    stop: () => void child.kill("SIGKILL")
  }
}
