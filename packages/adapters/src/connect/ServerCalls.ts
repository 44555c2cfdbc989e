/** Runs effects and streams as the handlers of calls: errors by the table, cancellation, deadlines, limits, metrics. */
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect"
import { Cause, type Context, Effect, Exit, Metric, Option, Stream, Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"
import * as Errors from "./Errors.ts"

export interface Options {
  /** ServerCalls in hand at once; more are answered with RESOURCE_EXHAUSTED. Default 2,000. */
  readonly maxInFlight?: number
  /** Aborted when the server begins to stop: watches, which never end by themselves, end then with UNAVAILABLE. */
  readonly stopping?: AbortSignal
}

const calls = Metric.counter("rpc_requests_total", { description: "ServerCalls answered", incremental: true })

const durations = Metric.histogram("rpc_request_duration_seconds", {
  description: "Seconds from a call's headers to its end",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
})

type Labelled = readonly [count: Metric.Metric<number, unknown>, seconds: Metric.Metric<number, unknown>]

// one metric for each method and code, made once: attributes are costly to attach
const labelled = new Map<string, Labelled>()

const measure = (
  { method, service }: HandlerContext,
  code: Code | undefined,
  startedAt: number
): Effect.Effect<void> => {
  const key = `${service.typeName}/${method.name} ${code ?? ""}`
  let metrics = labelled.get(key)
  if (metrics === undefined) {
    const attributes = {
      service: service.typeName,
      method: method.name,
      code: code === undefined ? "ok" : Errors.codeName(code)
    }
    metrics = [Metric.withAttributes(calls, attributes), Metric.withAttributes(durations, attributes)]
    labelled.set(key, metrics)
  }
  const [count, seconds] = metrics
  return Effect.andThen(Metric.update(count, 1), Metric.update(seconds, (performance.now() - startedAt) / 1000))
}

/** A defect's message stays here: the client gets an id to tell us. */
const defect = (cause: Cause.Cause<unknown>): Effect.Effect<ConnectError> =>
  Effect.suspend(() => {
    const id = crypto.randomUUID()
    return Effect.as(
      Effect.logError("call failed", cause).pipe(Effect.annotateLogs({ instance: `urn:uuid:${id}` })),
      new ConnectError(`something went wrong on our side: urn:uuid:${id}`, Code.Internal)
    )
  })

/** Why a call ends that its client or its deadline has cut off. */
const cutOff = (signal: AbortSignal): ConnectError => ConnectError.from(signal.reason, Code.Canceled)

const toConnect = (cause: Cause.Cause<Errors.CallError>, context: HandlerContext): Effect.Effect<ConnectError> => {
  if (context.signal.aborted) {
    return Effect.succeed(cutOff(context.signal))
  }
  const error = Option.flatMap(Cause.findErrorOption(cause), (error) => Option.fromUndefinedOr(Errors.toConnect(error)))
  return Option.isSome(error) ? Effect.succeed(error.value) : defect(cause)
}

/** Carries the client's W3C trace on to what is done for it. */
const inTrace = <A, E>(context: HandlerContext, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  context.requestHeader.has("traceparent")
    ? Option.match(
        HttpTraceContext.w3c(Headers.fromInput({ traceparent: context.requestHeader.get("traceparent") ?? "" })),
        {
          onNone: () => effect,
          onSome: (span) => Effect.provideService(effect, Tracer.ParentSpan, span)
        }
      )
    : effect

export interface ServerCalls {
  /** A call with one response. It is interrupted when its client leaves or its deadline passes. */
  readonly unary: <A>(context: HandlerContext, effect: Effect.Effect<A, Errors.CallError>) => Promise<A>
  /** A call with a stream of responses, pulled no faster than the client takes them. */
  readonly stream: <A>(context: HandlerContext, stream: Stream.Stream<A, Errors.CallError>) => AsyncIterable<A>
  /** The same for a stream that has no end: it ends when the server begins to stop. */
  readonly watch: <A>(context: HandlerContext, stream: Stream.Stream<A, Errors.CallError>) => AsyncIterable<A>
}

export const make = (options: Options = {}): Effect.Effect<ServerCalls> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const maxInFlight = options.maxInFlight ?? 2_000
    const run = Effect.runPromiseExitWith(context)
    let inFlight = 0

    const admit = (): void => {
      if (inFlight >= maxInFlight) {
        throw new ConnectError("too many calls are in hand, try again in a moment", Code.ResourceExhausted)
      }
      inFlight++
    }

    const unary: ServerCalls["unary"] = async (call, effect) => {
      const startedAt = performance.now()
      admit()
      try {
        const exit = await run(
          inTrace(call, effect).pipe(
            Effect.catchCause((cause) => Effect.flatMap(toConnect(cause, call), Effect.fail)),
            Effect.tap(() => measure(call, undefined, startedAt)),
            Effect.tapError(({ code }) => measure(call, code, startedAt)),
            Effect.onInterrupt(() => measure(call, cutOff(call.signal).code, startedAt))
          ),
          { signal: call.signal }
        )
        if (Exit.isSuccess(exit)) {
          return exit.value
        }
        throw Option.getOrElse(Cause.findErrorOption(exit.cause), () => cutOff(call.signal))
      } finally {
        inFlight--
      }
    }

    async function* pull<A>(
      call: HandlerContext,
      source: Stream.Stream<A, Errors.CallError>,
      signals: ReadonlyArray<AbortSignal>
    ): AsyncGenerator<A> {
      const startedAt = performance.now()
      admit()
      let code: Code | undefined
      const mapped = source.pipe(
        Stream.catchCause((cause) => Stream.fromEffect(Effect.flatMap(toConnect(cause, call), Effect.fail)))
      )
      const iterator = Stream.toAsyncIterableWith(mapped, context)[Symbol.asyncIterator]()
      const end = (): void => void iterator.return?.()
      for (const signal of signals) signal.addEventListener("abort", end, { once: true })
      try {
        if (signals.some(({ aborted }) => aborted)) end()
        for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
          yield next.value
        }
        const aborted = signals.find(({ aborted }) => aborted)
        if (aborted !== undefined) {
          throw cutOff(aborted)
        }
      } catch (error) {
        code = ConnectError.from(error).code
        throw error
      } finally {
        for (const signal of signals) signal.removeEventListener("abort", end)
        inFlight--
        await iterator.return?.()
        await run(measure(call, code ?? (call.signal.aborted ? cutOff(call.signal).code : undefined), startedAt))
      }
    }

    return Effect.succeed({
      unary,
      stream: (call, stream) => pull(call, stream, [call.signal]),
      watch: (call, stream) =>
        pull(call, stream, options.stopping === undefined ? [call.signal] : [call.signal, options.stopping])
    })
  })
