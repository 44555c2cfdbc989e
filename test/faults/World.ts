/** What all faults share: one Postgres, one broker with a proxy in front of it, and how to end them. */
import { Migrations } from "@invoice/adapters/postgres"
import { Effect, Layer, Redacted } from "effect"
import { type StartedKafka, type StartedNode, startKafka } from "../infra/kafka/index.ts"
import * as Ledger from "./Ledger.ts"
import { Postgres } from "./Postgres.ts"
import type { Random } from "./Random.ts"
import { connect } from "./Sql.ts"
import { TcpProxy } from "./TcpProxy.ts"

export interface Soak {
  /** Minutes of load for fault 11. */
  readonly minutes: number
  /** Events of the backlog of fault 12. */
  readonly backlog: number
}

export interface World {
  readonly postgres: Postgres
  readonly kafka: StartedKafka
  readonly node: StartedNode
  readonly proxy: TcpProxy
  readonly random: Random
  /** Undefined in the short form. */
  readonly soak: Soak | undefined
  readonly stop: () => Promise<void>
}

/** A database with the product's schema and the ledger, to make others from. */
export const template = "faults_template"
export const keys = 40

/** Makes the database that the others are made from. */
export const makeTemplate = async (postgres: Postgres): Promise<void> => {
  const admin = postgres.admin()
  await admin.query(`create database ${template}`)
  await admin.close()
  const url = postgres.url(template)
  await Effect.runPromise(Effect.scoped(Layer.build(Migrations.layer({ url: Redacted.make(url) }))))
  const sql = connect(url, 1)
  await Ledger.prepare(sql, keys)
  await sql.close()
}

export const start = async (random: Random, soak: Soak | undefined): Promise<World> => {
  const proxy = await TcpProxy.listen()
  const [postgres, kafka] = await Promise.allSettled([Postgres.start(), startKafka({ proxies: [proxy.port] })])
  const stop = async (): Promise<void> => {
    await Promise.all([
      proxy.close(),
      postgres.status === "fulfilled" ? postgres.value.stop() : undefined,
      kafka.status === "fulfilled" ? kafka.value.stop() : undefined
    ])
  }
  const node = kafka.status === "fulfilled" ? kafka.value.nodes[0] : undefined
  if (postgres.status === "rejected" || kafka.status === "rejected" || node?.proxied === undefined) {
    await stop()
    throw new AggregateError(
      [postgres, kafka].flatMap((part) => (part.status === "rejected" ? [part.reason] : [])),
      "the fault suite needs Postgres's binaries (npm) and Java 17 with Maven for a broker that it may kill"
    )
  }
  proxy.target = node.proxied
  await makeTemplate(postgres.value)
  return { postgres: postgres.value, kafka: kafka.value, node, proxy, random, soak, stop }
}
