/** Requests in hand. Those that are in hand for long, such as watches and imports, have a budget for each kind. */
import { NodeHttpServerRequest } from "@effect/platform-node"
import type { Admission } from "@invoice/adapters/connect"
import { Effect } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import * as BoundedMessages from "./BoundedMessages.ts"
import * as Problem from "./Problem.ts"

/** Counts the request in until its answer has been sent; or fails, to be answered with 503. */
export const within = <E, R>(
  admission: Admission.Admission,
  request: HttpServerRequest.HttpServerRequest,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, E | Problem.Problem, R> =>
  Effect.suspend((): Effect.Effect<HttpServerResponse.HttpServerResponse, E | Problem.Problem, R> => {
    if (!admission.enter()) return Effect.fail(Problem.overloaded)
    BoundedMessages.whenSent(NodeHttpServerRequest.toServerResponse(request), admission.leave)
    return answer
  })
