/** Runs effects and streams as the handlers of calls: errors by the table, cancellation, deadlines, limits, metrics. */
import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect"
import { Allowance, Defect, Principal, RequestMetrics, Traceparent } from "@invoice/core"
import { Cause, Context, Effect, Exit, Option, Stream } from "effect"
import * as Admission from "./Admission.ts"
import * as Errors from "./Errors.ts"

export interface Options {
  /** Calls in hand; what it refuses is answered with RESOURCE_EXHAUSTED. Default: at most 2,000. */
  readonly inFlight?: Admission.Admission
  /** The same for watches, which are in hand for hours. Default: at most 2,000. */
  readonly watches?: Admission.Admission
  /** The same for imports, whose requests take as long as their clients like. Default: at most 100. */
  readonly imports?: Admission.Admission
  /** Aborted when the server begins to stop. Watches, which never end by themselves, end with its reason then. */
  readonly stopping?: AbortSignal
}

/**
 * Runs a function when the answer of a call has left the process, or can't leave it any more. A call counts as in hand
 * until then. The server that owns the connections sets it; without it an answer counts as sent when it is made.
 */
export const whenSent = createContextKey<(run: () => void) => void>((run) => run(), {
  description: "runs a function when the answer has been sent"
})

/**
 * Resolves when a call with one response may begin: its connection may have to wait, such as for its client to read the
 * answers that it has. Undefined when the call may begin at once.
 */
export const turn = createContextKey<() => Promise<void> | undefined>(() => undefined, {
  description: "waits for the call's turn"
})

/** Who a call is from, as the server's authentication has found it; undefined when nobody has to prove who they are. */
export const principal = createContextKey<string | undefined>(undefined, { description: "principal" })

/** What the sender of an import has to wait for at each invoice; undefined when nothing limits it. */
export const allowance = createContextKey<Effect.Effect<void> | undefined>(undefined, { description: "allowance" })

/** Who a call is from, for its handler, as it is around the server when nobody has to prove who they are; and how fast. */
const senderOf = ({ values }: HandlerContext): Context.Context<never> => {
  const name = values.get(principal)
  const sender = name === undefined ? Context.empty() : Context.make(Principal, name)
  return Context.add(sender, Allowance, values.get(allowance))
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

/** What ends a call beside its client: its deadline, a server that stops, and a limit on what clients may hold. */
const ours = new Set([Code.DeadlineExceeded, Code.Unavailable, Code.ResourceExhausted])

/**
 * The error of a call that was cut off: by its client, its deadline, a server that stops, or a limit. However a client's
 * connection breaks, and whatever code it resets a stream with, it has canceled the call.
 */
const cutOff = (signal: AbortSignal): ConnectError => {
  const error = ConnectError.from(signal.reason, Code.Canceled)
  return ours.has(error.code) ? error : new ConnectError(error.rawMessage, Code.Canceled)
}

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
  /** An import: a stream of requests and one of responses, which is pulled no faster than the client takes them. */
  readonly import: <A>(context: HandlerContext, stream: Stream.Stream<A, Errors.CallError>) => AsyncIterable<A>
  /** A stream of responses that has no end: it ends when the server begins to stop. */
  readonly watch: <A>(context: HandlerContext, stream: Stream.Stream<A, Errors.CallError>) => AsyncIterable<A>
}

/** What the calls of a server share. */
interface Serving {
  readonly context: Context.Context<never>
  readonly run: ReturnType<typeof Effect.runPromiseExitWith<never>>
}

export const make = ({
  imports = Admission.make(100, "imports"),
  inFlight = Admission.make(2_000, "in_flight"),
  stopping,
  watches = Admission.make(2_000, "watches")
}: Options = {}): Effect.Effect<ServerCalls> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const serving: Serving = { context, run: Effect.runPromiseExitWith(context) }
    return Effect.succeed({
      unary: (call, effect) => unary(serving, inFlight, call, effect),
      import: (call, stream) => pull(serving, imports, call, stream, [call.signal]),
      watch: (call, stream) =>
        pull(serving, watches, call, stream, stopping === undefined ? [call.signal] : [call.signal, stopping])
    })
  })

/** Counts a call in; throws when too many are in hand. */
const admit = (admission: Admission.Admission): void => {
  if (!admission.enter()) {
    throw new ConnectError("too many calls are in hand, try again in a moment", Code.ResourceExhausted)
  }
}

/** Counts a call out as soon as its answer has been sent. */
const dismiss = (admission: Admission.Admission, call: HandlerContext): void =>
  call.values.get(whenSent)(admission.leave)

const unary = async <A>(
  { run }: Serving,
  admission: Admission.Admission,
  call: HandlerContext,
  effect: Effect.Effect<A, Errors.CallError>
): Promise<A> => {
  const startedAt = performance.now()
  const mine = call.values.get(turn)()
  if (mine !== undefined) await mine
  admit(admission)
  try {
    const exit = await run(
      Traceparent.within(call.requestHeader.get("traceparent"), effect).pipe(
        Effect.catchCause((cause) => Effect.flatMap(toConnect(cause, call), Effect.fail)),
        Effect.tap(() => measure(call, undefined, startedAt)),
        Effect.tapError(({ code }) => measure(call, code, startedAt)),
        Effect.onInterrupt(() => measure(call, cutOff(call.signal).code, startedAt)),
        Effect.provideContext(senderOf(call))
      ),
      { signal: call.signal }
    )
    if (Exit.isSuccess(exit)) {
      return exit.value
    }
    throw Option.getOrElse(Cause.findErrorOption(exit.cause), () => cutOff(call.signal))
  } finally {
    dismiss(admission, call)
  }
}

/** @param signals end the stream when they are aborted */
async function* pull<A>(
  { context, run }: Serving,
  admission: Admission.Admission,
  call: HandlerContext,
  source: Stream.Stream<A, Errors.CallError>,
  signals: ReadonlyArray<AbortSignal>
): AsyncGenerator<A> {
  const startedAt = performance.now()
  admit(admission)
  let code: Code | undefined
  const mapped = source.pipe(
    Stream.catchCause((cause) => Stream.fromEffect(Effect.flatMap(toConnect(cause, call), Effect.fail))),
    Stream.provideContext(senderOf(call))
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
    // an error of writing means that the client is gone, as the aborted signal says
    code = call.signal.aborted ? cutOff(call.signal).code : ConnectError.from(error).code
    throw error
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", end)
    dismiss(admission, call)
    await iterator.return?.()
    const ended = code ?? (call.signal.aborted ? cutOff(call.signal).code : undefined)
    await run(measure(call, ended, startedAt))
  }
}
