/** Metrics of a server's requests: how many there were and how long they took. */
import { Effect, Metric } from "effect"

/** Bucket bounds in seconds: from a millisecond to the longest time that a person waits. */
export const boundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export interface Options {
  /** What stands before `_requests_total` and `_request_duration_seconds`. */
  readonly prefix: string
  readonly count: string
  readonly seconds: string
}

/** Counts an answered request. `labels` must come from a closed set: clients must not be able to make metrics. */
export type Measure = (labels: Readonly<Record<string, string>>, seconds: number) => Effect.Effect<void>

/** @param options the metrics' prefix and descriptions */
export const make = ({ count, prefix, seconds }: Options): Measure => {
  const requests = Metric.counter(`${prefix}_requests_total`, { description: count, incremental: true })
  const durations = Metric.histogram(`${prefix}_request_duration_seconds`, { description: seconds, boundaries })
  // made once for each set of labels: attributes are costly to attach
  const labelled = new Map<string, readonly [typeof requests, typeof durations]>()
  return (labels, seconds) => {
    const key = Object.values(labels).join(" ")
    let metrics = labelled.get(key)
    if (metrics === undefined) {
      metrics = [Metric.withAttributes(requests, labels), Metric.withAttributes(durations, labels)]
      labelled.set(key, metrics)
    }
    return Effect.andThen(Metric.update(metrics[0], 1), Metric.update(metrics[1], seconds))
  }
}
