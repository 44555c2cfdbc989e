/** What an import has to wait for, kept with its request from its authentication until it is handled. */
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import { Effect } from "effect"

/** Counts one more invoice, and answers for how many milliseconds its sender has to wait. */
export type Charge = () => number

/**
 * Longest wait for one invoice, in milliseconds: shorter than a client waits for a line, and a quota that is used up slows
 * an import down instead of stopping it in the middle.
 */
export const maxWaitMillis = 10_000

const charge = Symbol("charge")

type Request = (IncomingMessage | Http2ServerRequest) & { [charge]?: Charge }

export const set = (request: Request, value: Charge): void => {
  request[charge] = value
}

/** Undefined when nothing limits the sender. */
export const get = (request: Request): Effect.Effect<void> | undefined => {
  const found = request[charge]
  return found === undefined
    ? undefined
    : Effect.suspend(() => {
        const wait = Math.min(found(), maxWaitMillis)
        return wait > 0 ? Effect.sleep(wait) : Effect.void
      })
}
