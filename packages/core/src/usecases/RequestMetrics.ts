/** How many requests there were and how long they took, for whatever takes requests. */
import { Effect, Metric } from "effect"

/** Bounds of histograms of seconds: from a millisecond to what a person waits for. */
export const boundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export interface Options {
  /** Before `_requests_total` and `_request_duration_seconds`. */
  readonly prefix: string
  readonly count: string
  readonly seconds: string
}

/** Counts a request that is answered. `labels` must be from a closed set: clients must not be able to make metrics. */
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
