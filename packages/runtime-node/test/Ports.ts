/** The public API on ports of its own, over memory, as a program would serve it. */
import { Memory } from "@invoice/adapters/memory"
import { InvoiceStore, Profile, ProfileValidator } from "@invoice/core"
import * as Config from "@invoice/runtime-node/Config"
import * as Components from "@invoice/runtime-node/programs/Components"
import { ConfigProvider, Effect, Layer, References } from "effect"

export const memory = Layer.mergeAll(Memory.layer, ProfileValidator.layer(Profile.core))

/** Provides one store to all servers of the effect, while the scope lasts. */
export const withMemory = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Layer.build(memory), (context) => Effect.provideContext(effect, context))

const quietly = Effect.provideService(References.MinimumLogLevel, "Error")

export const settings = (env: Readonly<Record<string, string>>) =>
  Effect.provide(
    Config.load,
    ConfigProvider.layer(ConfigProvider.fromEnv({ env: { HTTP_ADDRESS: "127.0.0.1:0", GRPC_PORT: "0", ...env } }))
  )

/** Answers the URLs; the store is the one around. */
export const api = (env: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(settings(env), (settings) =>
    Effect.flatMap(InvoiceStore, ({ ready }) => Components.api(settings, { store: ready }))
  ).pipe(quietly)

/** The storage program on the store around; answers its URL. */
export const storage = (env: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(settings(env), (settings) =>
    Effect.flatMap(InvoiceStore, ({ ready }) => Components.storage(settings, { store: ready }))
  ).pipe(quietly)
