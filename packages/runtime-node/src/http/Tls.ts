/** The certificate and its key, read and checked before anything listens. */
import { readFile } from "node:fs/promises"
import { createSecureContext } from "node:tls"
import { Effect, Option } from "effect"
import type { Settings } from "../Config.ts"
import { StartupError } from "../programs/StartupError.ts"

export interface Tls {
  readonly cert: string
  readonly key: string
}

const explain = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const read = (setting: string, path: string): Effect.Effect<string, StartupError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (error) => new StartupError({ reason: `${setting}: ${explain(error)}` })
  })

/** Undefined when neither is set. */
export const load = ({
  tlsCert,
  tlsKey
}: Pick<Settings, "tlsCert" | "tlsKey">): Effect.Effect<Tls | undefined, StartupError> =>
  Effect.gen(function* () {
    if (Option.isNone(tlsCert) && Option.isNone(tlsKey)) {
      return undefined
    }
    if (Option.isNone(tlsCert) || Option.isNone(tlsKey)) {
      return yield* new StartupError({ reason: "TLS_CERT and TLS_KEY belong together: set both or neither" })
    }
    const tls = { cert: yield* read("TLS_CERT", tlsCert.value), key: yield* read("TLS_KEY", tlsKey.value) }
    yield* Effect.try({
      try: () => createSecureContext(tls),
      catch: (error) => new StartupError({ reason: `TLS_CERT, TLS_KEY: ${explain(error)}` })
    })
    return tls
  })
