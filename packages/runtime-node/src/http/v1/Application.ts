/** REST v1 as the router's application for the paths that its table lacks. */
import { NodeHttpServer } from "@effect/platform-node"
import type { Admission } from "@invoice/adapters/connect"
import { InvoiceApi } from "@invoice/client/Api"
import type { Invoices } from "@invoice/core"
import { Cause, Effect, Layer, Predicate, type Scope } from "effect"
import { HttpRouter, type HttpServerError } from "effect/http"
import { HttpApiBuilder, HttpApiError } from "effect/http-api"
import * as Problem from "../Problem.ts"
import type { Fallback, Route } from "../Router.ts"
import * as Events from "./Events.ts"
import * as InvoiceRoutes from "./InvoiceRoutes.ts"

interface Template extends Route {
  readonly pattern: RegExp
}

/** The routes of the definition, by path; those with a parameter have a pattern. */
const routesOf = (): { readonly exact: ReadonlyMap<string, Route>; readonly templates: ReadonlyArray<Template> } => {
  const methods = new Map<string, Array<string>>()
  for (const group of Object.values(InvoiceApi.groups)) {
    for (const { method, path } of Object.values(group.endpoints)) {
      const template = path.replace("/:id", "/{id}")
      methods.set(template, [...(methods.get(template) ?? []), ...(method === "GET" ? [method, "HEAD"] : [method])])
    }
  }
  const routes = [...methods].map(([template, allowed]): Route => ({ template, allowed }))
  return {
    exact: new Map(routes.filter(({ template }) => !template.includes("{")).map((route) => [route.template, route])),
    templates: routes
      .filter(({ template }) => template.includes("{"))
      .map((route) => ({ ...route, pattern: new RegExp(`^${route.template.replace("{id}", "[^/]+")}$`, "u") }))
  }
}

/** Where a request is at fault, as HttpApi found it; undefined for another defect. */
const faultOf = (cause: Cause.Cause<unknown>): Problem.Problem | undefined => {
  const [reason] = cause.reasons.filter(Cause.isDieReason)
  const defect = reason?.defect
  return HttpApiError.HttpApiSchemaError.is(defect) && Predicate.hasProperty(defect, "cause")
    ? Problem.badRequest(`${defect.kind.toLowerCase()}: ${String(defect.cause).slice(0, 300)}`)
    : undefined
}

/** The problem of a request that HttpApi could not decode or has no route for; another failure stays a defect. */
const problemOf = (cause: Cause.Cause<HttpServerError.HttpServerError>): Effect.Effect<never, Problem.Problem> => {
  const fault = Cause.hasFails(cause) ? Problem.notFound : faultOf(cause)
  return fault === undefined ? Effect.failCause(cause as Cause.Cause<never>) : Effect.fail(fault)
}

/** Paths whose bodies are streams of lines: they are counted as imports, and not as requests in hand. */
export const streamed: ReadonlySet<string> = new Set(["/v1/invoices:import"])

/** Paths that are watches: they are counted as such, and not as requests in hand. */
export const watched: ReadonlySet<string> = new Set(["/v1/events"])

export interface Options extends Events.Options {
  /** Imports of all protocols; what it refuses is answered with 503. */
  readonly imports: Admission.Admission
}

export const make = (options: Options): Effect.Effect<Fallback, never, Invoices | Scope.Scope> =>
  Effect.gen(function* () {
    const { exact, templates } = routesOf()
    const layer = HttpApiBuilder.layer(InvoiceApi).pipe(
      Layer.provide([InvoiceRoutes.layer(options.imports), Events.layer(options)]),
      Layer.provide(NodeHttpServer.layerHttpServices)
    )
    const application = yield* HttpRouter.toHttpEffect(layer)
    return {
      find: (path) => exact.get(path) ?? templates.find(({ pattern }) => pattern.test(path)),
      handle: Effect.catchCause(application, problemOf)
    }
  })
