/** A fresh real Postgres for the tests, in a temporary directory of its own. */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Exit, Redacted, Scope } from "effect"

export interface Postgres {
  readonly url: string
  stop(): Promise<void>
}

export const startPostgres = async (): Promise<Postgres> => {
  const dataDir = await mkdtemp(join(tmpdir(), "invoice-postgres-"))
  // Postgres may run as another user, who must be able to enter the directory
  await chmod(dataDir, 0o755)
  const scope = await Effect.runPromise(Scope.make())
  const stop = async (): Promise<void> => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    const { url } = await Effect.runPromise(Scope.provide(EmbeddedPostgres.make({ dataDir }), scope))
    return { url: Redacted.value(url), stop }
  } catch (error) {
    await stop()
    throw error
  }
}
