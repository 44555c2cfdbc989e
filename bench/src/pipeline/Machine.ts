/** What every figure runs on: one Postgres and one Kafka on this machine, started for the run and removed after it. */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { cpus, tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Exit, Redacted, Scope } from "effect"
import { startKafka } from "../../../test/infra/kafka/index.ts"
import * as Database from "./Database.ts"

export interface Machine {
  /** host:port, comma separated, as KAFKA_BROKERS takes them. */
  readonly brokers: string
  /** A new database of a random name with the schema in it, or a copy of another one. */
  readonly database: (options?: { readonly copyOf?: Database.Database }) => Promise<Database.Database>
  readonly stop: () => Promise<void>
}

export const describe = (): string =>
  `${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`

export const start = async (): Promise<Machine> => {
  const directory = await mkdtemp(join(tmpdir(), "invoice-bench-"))
  // Postgres may run as another user, who must be able to enter the directory
  await chmod(directory, 0o755)
  const kafka = await startKafka()
  const scope = await Effect.runPromise(Scope.make())
  const postgres = await Effect.runPromise(
    Scope.provide(EmbeddedPostgres.make({ dataDir: join(directory, "data") }), scope)
  )
  const server = Redacted.value(postgres.url)
  const root = Database.connect(server)
  let databases = 0
  return {
    brokers: kafka.brokers,
    database: async ({ copyOf } = {}) => {
      databases++
      const name = `bench_${databases}`
      const url = new URL(server)
      url.pathname = `/${name}`
      const template = copyOf === undefined ? "" : ` template ${new URL(copyOf.url).pathname.slice(1)}`
      // Postgres copies a database only while it has no connections
      await copyOf?.disconnect()
      await root.query(`create database ${name}${template}`)
      const database = Database.connect(url.href)
      if (copyOf === undefined) {
        await Database.migrate(url.href)
      }
      return database
    },
    stop: async () => {
      await root.disconnect()
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await kafka.stop()
      await rm(directory, { recursive: true, force: true })
    }
  }
}
