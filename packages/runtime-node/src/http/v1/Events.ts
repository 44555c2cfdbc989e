/**
 * The changes of all invoices as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). The id
 * of an event is the cursor right behind it, with which a client goes on after a break.
 */
import type { Admission } from "@invoice/adapters/connect"
import { InvoiceApi } from "@invoice/client/Api"
import { Invoices, type Watched, type WatchStart } from "@invoice/core"
import { Effect, type Layer, Option, type Scope, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder, type HttpApiGroup } from "effect/http-api"
import * as Admitted from "../Admitted.ts"
import * as Problem from "../Problem.ts"
import { orProblem } from "./InvoiceRoutes.ts"

/**
 * Sent at once, so that a client knows that it is connected. It has no `retry:`, which Effect's reader of events takes for
 * the end of the stream.
 */
const begin = ": connected\n\n"

/** An event; or a comment and an id, which moves the client's cursor on without an event. */
const render = ({ change, cursor }: Watched): string =>
  Option.match(change, {
    onNone: () => `: no change\nid: ${cursor}\n\n`,
    onSome: ({ at, id, status, version, violations }) =>
      `id: ${cursor}\ndata: ${JSON.stringify({ id, status, version, violations, at })}\n\n`
  })

const aborted = (signal: AbortSignal): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const stop = (): void => resume(Effect.void)
    if (signal.aborted) return stop()
    signal.addEventListener("abort", stop, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", stop))
  })

const follow = (
  invoices: Invoices["Service"],
  start: WatchStart,
  stopping: AbortSignal
): Effect.Effect<HttpServerResponse.HttpServerResponse, Problem.Problem, Scope.Scope> =>
  Effect.gen(function* () {
    const pull = yield* Stream.toPull(invoices.watch(start))
    // read before the answer begins, so that a cursor at fault is answered with a problem
    const first = yield* Effect.catch(pull, (error) =>
      error._tag === "Done" ? Effect.succeed([]) : Problem.fail(error)
    )
    const events = Stream.concat(Stream.fromIterable(first), Stream.fromPull(Effect.succeed(pull))).pipe(
      Stream.map(render),
      // the client connects again with the last id that it has, also when the store is away for a while
      Stream.catchTag(["StoreUnavailable", "InvalidCursor", "CursorExpired"], () => Stream.empty),
      Stream.interruptWhen(aborted(stopping))
    )
    return HttpServerResponse.stream(Stream.encodeText(Stream.concat(Stream.succeed(begin), events)), {
      contentType: "text/event-stream",
      // a proxy must not collect events
      headers: { "x-accel-buffering": "no" }
    })
  })

export interface Options {
  /** Aborted when the server begins to stop: ends the streams. */
  readonly stopping: AbortSignal
  /** Watches of all protocols; what it refuses is answered with 503. */
  readonly watches: Admission.Admission
}

/** The handlers of the group `events`. */
export const layer = ({
  stopping,
  watches
}: Options): Layer.Layer<HttpApiGroup.Service<"invoices-v1", "events">, never, Invoices> =>
  HttpApiBuilder.group(InvoiceApi, "events", (handlers) =>
    Effect.map(Invoices, (invoices) =>
      handlers.handleRaw("streamEvents", ({ headers, query, request }) => {
        const cursor = headers["last-event-id"] ?? query.after
        const start = cursor === undefined ? (query.from ?? "now") : { cursor }
        return orProblem(Admitted.within(watches, request, follow(invoices, start, stopping)))
      })
    )
  )
