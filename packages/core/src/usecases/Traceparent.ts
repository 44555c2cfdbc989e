/** The header `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/), on requests and events. */
import { Effect, Option, Tracer } from "effect"

/** The `traceparent` of the current span; undefined when there is none. */
export const current: Effect.Effect<string | undefined> = Effect.map(
  Effect.serviceOption(Tracer.ParentSpan),
  Option.match({
    onNone: () => undefined,
    onSome: (span) => `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`
  })
)

// version, trace id, parent id, flags; ids of zeros and version ff are invalid, a later version may have more fields
const pattern = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/u

const parse = (traceparent: string): Tracer.ExternalSpan | undefined => {
  const [, traceId, spanId, flags] = pattern.exec(traceparent) ?? []
  return traceId === undefined || spanId === undefined || flags === undefined
    ? undefined
    : Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 })
}

/**
 * Runs an effect in the trace that a client has named, unless there is a current span, which continues that trace
 * already. An invalid `traceparent` is ignored, as the standard says.
 */
export const within = <A, E, R>(
  traceparent: string | null | undefined,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const span = traceparent === null || traceparent === undefined ? undefined : parse(traceparent)
  return span === undefined
    ? effect
    : Effect.flatMap(Effect.serviceOption(Tracer.ParentSpan), (ours) =>
        Option.isSome(ours) ? effect : Effect.provideService(effect, Tracer.ParentSpan, span)
      )
}
