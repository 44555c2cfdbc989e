/** Calls a service: a cancellation reaches the server, and errors come back as the core's errors. */
import { ConnectError } from "@connectrpc/connect"
import { Traceparent } from "@invoice/core"
import { Effect, type Scope } from "effect"
import * as Errors from "./Errors.ts"

export interface Options {
  /** Deadline of a call in milliseconds, from 1; default 10,000. It is passed to the server, which gives up too. */
  readonly timeoutMillis?: number
}

export const defaultTimeoutMillis = 10_000

export interface CallOptions {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly headers: Record<string, string>
}

const headers = Effect.map(
  Traceparent.current,
  (traceparent): Record<string, string> => (traceparent === undefined ? {} : { traceparent })
)

/**
 * Makes a call. An error with a detail comes back as the error that the detail describes, if the operation can fail
 * with it (`expected`).
 */
export type Caller<E> = <A, Expected extends Errors.Detailed["_tag"]>(
  send: (options: CallOptions) => Promise<A>,
  expected: ReadonlyArray<Expected>
) => Effect.Effect<A, Extract<Errors.Detailed, { readonly _tag: Expected }> | E>

/** Makes calls, each within its deadline. `otherwise` converts every other failure, a missed deadline too. */
export const caller =
  <E>(otherwise: (error: ConnectError) => E, { timeoutMillis = defaultTimeoutMillis }: Options = {}): Caller<E> =>
  (send, expected) =>
    Effect.flatMap(headers, (headers) =>
      Effect.tryPromise({
        try: (signal) => send({ signal, headers, timeoutMs: timeoutMillis }),
        catch: (error) => fromConnect(ConnectError.from(error), expected, otherwise)
      })
    )

export const fromConnect = <Expected extends Errors.Detailed["_tag"], E>(
  error: ConnectError,
  expected: ReadonlyArray<Expected>,
  otherwise: (error: ConnectError) => E
): Extract<Errors.Detailed, { readonly _tag: Expected }> | E => {
  const detailed = Errors.fromConnect(error)
  return detailed !== undefined && isOneOf(detailed, expected) ? detailed : otherwise(error)
}

const isOneOf = <Expected extends Errors.Detailed["_tag"]>(
  error: Errors.Detailed,
  expected: ReadonlyArray<Expected>
): error is Extract<Errors.Detailed, { readonly _tag: Expected }> =>
  (expected as ReadonlyArray<string>).includes(error._tag)

/** A signal that is aborted when the scope closes. */
export const signal: Effect.Effect<CallOptions["signal"], never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => new AbortController()),
    (controller) => Effect.sync(() => controller.abort())
  ),
  (controller) => controller.signal
)
