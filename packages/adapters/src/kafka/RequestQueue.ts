/**
 * Cures a busy loop in kafkajs 2.2.4: after the first answer on a connection its request queue sets a timer that sets
 * itself again, with a negative delay (so 1 ms), for ever. On Node 24 that also prints `TimeoutNegativeWarning`. The
 * timer is needed only while requests wait in the queue.
 *
 * No release of kafkajs has a fix (tulios/kafkajs#1704, #1751). The peer dependency is pinned, so the patched code is
 * known.
 */
import { createRequire } from "node:module"

interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  /** Milliseconds since the epoch; -1 when the broker never throttled. */
  readonly throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  readonly checkPendingRequests: () => void
}

/** How often kafkajs looks whether a request may go, in milliseconds. */
const interval = 10

function scheduleCheckPendingRequests(this: RequestQueue): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
  this.throttleCheckTimeoutId = setTimeout(
    () => {
      this.throttleCheckTimeoutId = null
      this.checkPendingRequests()
    },
    Math.max(this.throttledUntil - Date.now(), interval)
  )
}

/** Patches kafkajs once for the process; a second call changes nothing. */
export const cureRequestQueue = (): void => {
  const load = createRequire(import.meta.url)
  const queue: unknown = load("kafkajs/src/network/requestQueue")
  if (typeof queue === "function") Object.assign(queue.prototype, { scheduleCheckPendingRequests })
}
