/**
 * Starts Postgres and Kafka once for a whole run of the int and e2e projects. Tests read the addresses with
 * `inject("postgresUrl")` and `inject("kafkaBrokers")`.
 */
import type { TestProject } from "vitest/node"
import { startKafka } from "./kafka/index.ts"
import { startPostgres } from "./postgres.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** `postgres://user:password@host:port/database` of a server whose databases tests may create and fill. */
    readonly postgresUrl: string
    /** `host:port`, comma separated. */
    readonly kafkaBrokers: string
  }
}

interface Infrastructure {
  readonly postgres: Awaited<ReturnType<typeof startPostgres>>
  readonly kafka: Awaited<ReturnType<typeof startKafka>>
}

// Each project loads this module for itself, so what they share is kept in `globalThis`.
const key = Symbol.for("@invoice/test/infrastructure")
const shared = globalThis as { [key]?: { readonly started: Promise<Infrastructure>; users: number } }

const start = async (): Promise<Infrastructure> => {
  const [postgres, kafka] = await Promise.allSettled([startPostgres(), startKafka()])
  if (postgres.status === "fulfilled" && kafka.status === "fulfilled") {
    return { postgres: postgres.value, kafka: kafka.value }
  }
  const reasons: Array<unknown> = []
  for (const outcome of [postgres, kafka]) {
    if (outcome.status === "fulfilled") await outcome.value.stop()
    else reasons.push(outcome.reason)
  }
  throw new AggregateError(reasons, `Tests need Postgres and Kafka: ${reasons.map(String).join("; ")}`)
}

export const setup = async (project: TestProject): Promise<void> => {
  shared[key] ??= { started: start(), users: 0 }
  shared[key].users += 1
  const { postgres, kafka } = await shared[key].started
  project.provide("postgresUrl", postgres.url)
  project.provide("kafkaBrokers", kafka.brokers)
}

export const teardown = async (): Promise<void> => {
  const infrastructure = shared[key]
  if (infrastructure === undefined) return
  infrastructure.users -= 1
  if (infrastructure.users > 0) return
  delete shared[key]
  // a start that failed has reported its errors and stopped what it had started
  const started = await infrastructure.started.catch(() => undefined)
  await Promise.all([started?.postgres.stop(), started?.kafka.stop()])
}
