/** Runs effects and streams as the handlers of calls: errors by the table, cancellation, deadlines, limits, metrics. */
import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect"
import { Defect, Principal, RequestMetrics, Traceparent } from "@invoice/core"
import { Cause, Context, Effect, Exit, Option, Stream } from "effect"
import * as Errors from "./Errors.ts"

export interface Options {
  /** Maximum number of calls in hand; further calls are answered with RESOURCE_EXHAUSTED. Default 2,000. */
  readonly maxInFlight?: number
  /** Aborted when the server begins to stop. Watches, which never end by themselves, end with its reason then. */
  readonly stopping?: AbortSignal
}

/** Who a call is from, as the server's authentication has found it; undefined when nobody has to prove who they are. */
export const principal = createContextKey<string | undefined>(undefined, { description: "principal" })

/** Who a call is from, for its handler; as it is around the server when nobody has to prove who they are. */
const principalOf = ({ values }: HandlerContext): Context.Context<never> => {
  const name = values.get(principal)
  return name === undefined ? Context.empty() : Context.make(Principal, name)
}

const measureCall = RequestMetrics.make({
  prefix: "rpc",
  count: "Calls answered",
  seconds: "Seconds from a call's headers to its end"
})

const measure = ({ method, service }: HandlerContext, code: Code | undefined, startedAt: number): Effect.Effect<void> =>
  measureCall(
    { service: service.typeName, method: method.name, code: code === undefined ? "ok" : Errors.codeName(code) },
    (performance.now() - startedAt) / 1000
  )

/** Logs a defect; the client gets only an id, with which it can report the defect. */
const defect = (cause: Cause.Cause<unknown>): Effect.Effect<ConnectError> =>
  Effect.map(
    Defect.report("call failed", cause),
    (instance) => new ConnectError(`something went wrong on our side: ${instance}`, Code.Internal)
  )

/** The error of a call that was cut off: by its client, its deadline, or a server that stops. */
const cutOff = (signal: AbortSignal): ConnectError => ConnectError.from(signal.reason, Code.Canceled)

const toConnect = (cause: Cause.Cause<Errors.CallError>, context: HandlerContext): Effect.Effect<ConnectError> => {
  if (context.signal.aborted) {
    return Effect.succeed(cutOff(context.signal))
  }
  const error = Option.flatMap(Cause.findErrorOption(cause), (error) => Option.fromUndefinedOr(Errors.toConnect(error)))
  return Option.isSome(error) ? Effect.succeed(error.value) : defect(cause)
}

export interface ServerCalls {
  /** A call with one response. It is interrupted when its client leaves or its deadline passes. */
  readonly unary: <A>(context: HandlerContext, effect: Effect.Effect<A, Errors.CallError>) => Promise<A>
  /** A call with a stream of responses, pulled no faster than the client takes them. */
  readonly stream: <A>(context: HandlerContext, stream: Stream.Stream<A, Errors.CallError>) => AsyncIterable<A>
  /** The same for a stream that has no end: it ends when the server begins to stop. */
  readonly watch: <A>(context: HandlerContext, stream: Stream.Stream<A, Errors.CallError>) => AsyncIterable<A>
}

/** What the calls of a server share. */
interface Serving {
  readonly context: Context.Context<never>
  readonly run: ReturnType<typeof Effect.runPromiseExitWith<never>>
  /** Counts a call in, or throws when too many are in hand. */
  readonly admit: () => void
  /** Counts it out. */
  readonly dismiss: () => void
}

export const make = ({ maxInFlight = 2_000, stopping }: Options = {}): Effect.Effect<ServerCalls> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const serving: Serving = { context, run: Effect.runPromiseExitWith(context), ...admission(maxInFlight) }
    return Effect.succeed({
      unary: (call, effect) => unary(serving, call, effect),
      stream: (call, stream) => pull(serving, call, stream, [call.signal]),
      watch: (call, stream) =>
        pull(serving, call, stream, stopping === undefined ? [call.signal] : [call.signal, stopping])
    })
  })

const admission = (maxInFlight: number): Pick<Serving, "admit" | "dismiss"> => {
  let inFlight = 0
  return {
    admit: () => {
      if (inFlight >= maxInFlight) {
        throw new ConnectError("too many calls are in hand, try again in a moment", Code.ResourceExhausted)
      }
      inFlight++
    },
    dismiss: () => {
      inFlight--
    }
  }
}

const unary = async <A>(
  { admit, dismiss, run }: Serving,
  call: HandlerContext,
  effect: Effect.Effect<A, Errors.CallError>
): Promise<A> => {
  const startedAt = performance.now()
  admit()
  try {
    const exit = await run(
      Traceparent.within(call.requestHeader.get("traceparent"), effect).pipe(
        Effect.catchCause((cause) => Effect.flatMap(toConnect(cause, call), Effect.fail)),
        Effect.tap(() => measure(call, undefined, startedAt)),
        Effect.tapError(({ code }) => measure(call, code, startedAt)),
        Effect.onInterrupt(() => measure(call, cutOff(call.signal).code, startedAt)),
        Effect.provideContext(principalOf(call))
      ),
      { signal: call.signal }
    )
    if (Exit.isSuccess(exit)) {
      return exit.value
    }
    throw Option.getOrElse(Cause.findErrorOption(exit.cause), () => cutOff(call.signal))
  } finally {
    dismiss()
  }
}

/** @param signals end the stream when they are aborted */
async function* pull<A>(
  { admit, context, dismiss, run }: Serving,
  call: HandlerContext,
  source: Stream.Stream<A, Errors.CallError>,
  signals: ReadonlyArray<AbortSignal>
): AsyncGenerator<A> {
  const startedAt = performance.now()
  admit()
  let code: Code | undefined
  const mapped = source.pipe(
    Stream.catchCause((cause) => Stream.fromEffect(Effect.flatMap(toConnect(cause, call), Effect.fail))),
    Stream.provideContext(principalOf(call))
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
    dismiss()
    await iterator.return?.()
    const ended = code ?? (call.signal.aborted ? cutOff(call.signal).code : undefined)
    await run(measure(call, ended, startedAt))
  }
}
