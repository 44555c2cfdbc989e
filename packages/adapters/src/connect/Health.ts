/** `grpc.health.v1.Health`: whether the server, and each of its services, takes calls. */
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { Effect, Result, Stream } from "effect"
import { Health, HealthCheckResponse_ServingStatus as Status } from "./gen/grpc/health/v1/health_pb.ts"
import type { ServerCalls } from "./ServerCalls.ts"

export interface Options {
  /** Full names of the services. */
  readonly services: ReadonlyArray<string>
  /** Succeeds while calls can be taken. */
  readonly ready: Effect.Effect<void, unknown>
}

const checkMillis = 2_000
const watchMillis = 1_000

export const routes = (calls: ServerCalls, { ready, services }: Options): ((router: ConnectRouter) => void) => {
  const known = new Set(["", Health.typeName, ...services])
  const status: Effect.Effect<Status> = ready.pipe(
    Effect.timeout(checkMillis),
    Effect.result,
    Effect.map((result) => (Result.isSuccess(result) ? Status.SERVING : Status.NOT_SERVING))
  )
  return (router) => {
    router.service(Health, {
      check: ({ service }, context) => {
        if (!known.has(service)) {
          throw new ConnectError(`there is no service ${service} here`, Code.NotFound)
        }
        return calls.unary(
          context,
          Effect.map(status, (status) => ({ status }))
        )
      },
      watch: ({ service }, context) =>
        calls.watch<{ readonly status: Status }>(
          context,
          // an unknown service is no error for a watch, since it may be added later
          known.has(service)
            ? Stream.fromEffect(status).pipe(
                Stream.concat(Stream.fromEffectRepeat(Effect.delay(status, watchMillis))),
                Stream.changes,
                Stream.map((status) => ({ status }))
              )
            : Stream.concat(Stream.succeed({ status: Status.SERVICE_UNKNOWN }), Stream.never)
        )
    })
  }
}
