/**
 * A client of REST v1 for programs with Effect, made from the definition that the server is built from. Its methods have the
 * names of the operations; they fail with the problems of `Problems`, each with its `type`.
 *
 * @example
 * const program = Effect.gen(function* () {
 *   const client = yield* RestClient.make({ baseUrl: "http://localhost:8080" })
 *   return yield* client.getInvoice({ params: { id }, headers: {} })
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 */
import { Effect, type Redacted } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { InvoiceApi } from "./Api.ts"

export interface Options {
  /** Such as `https://invoices.example.com`. */
  readonly baseUrl: string
  /** Has the token to send; it is asked for each request. */
  readonly token?: Effect.Effect<Redacted.Redacted>
}

export type RestClient = HttpApiClient.ForApi<typeof InvoiceApi>

export const make = ({ baseUrl, token }: Options): Effect.Effect<RestClient, never, HttpClient.HttpClient> =>
  HttpApiClient.make(InvoiceApi, {
    baseUrl,
    transformClient: (client) =>
      token === undefined
        ? client
        : HttpClient.mapRequestEffect(client, (request) =>
            Effect.map(token, (token) => HttpClientRequest.bearerToken(request, token))
          )
  })
