/** Counts how often a limit on what clients may make a server hold or spend was reached. */
import { Context, Metric } from "effect"

/**
 * - `body_deadline`: a body was not complete in time
 * - `receiving_bytes`: the slowest body was cut off, since the bodies under way had too many bytes
 * - `write_stall`: an answer made no progress for too long
 * - `sending_bytes`: the slowest answer was cut off, since the answers under way had too many bytes
 * - `in_flight`: a request was refused, since too many were in hand
 * - `pipelined`: a connection was closed, since it had sent too many requests before the answer to the first
 * - `watches`: a watch was refused, since there were too many
 * - `imports`: an import was refused, since there were too many
 * - `resets`: a session of HTTP/2 was closed, since its client had taken back too many of its requests
 * - `inflation`: a body was refused that inflates to too many times its size
 * - `json_values`: a JSON document was refused that has too many values
 */
export type Limit =
  | "body_deadline"
  | "receiving_bytes"
  | "write_stall"
  | "sending_bytes"
  | "in_flight"
  | "pipelined"
  | "watches"
  | "imports"
  | "resets"
  | "inflation"
  | "json_values"

const counter = Metric.counter("limits_reached_total", {
  description: "Requests refused or cut off by a limit",
  incremental: true
})

const counters = new Map<Limit, typeof counter>()

/** Counts once. It runs at once, without an effect, since most limits are reached in callbacks of the server. */
export const reached = (limit: Limit): void => {
  const labelled = counters.get(limit) ?? Metric.withAttributes(counter, { limit })
  counters.set(limit, labelled)
  labelled.updateUnsafe(1, Context.empty())
}

/** How often a limit was reached since the process began. */
export const count = (limit: Limit): number =>
  Number((counters.get(limit) ?? Metric.withAttributes(counter, { limit })).valueUnsafe(Context.empty()).count)
