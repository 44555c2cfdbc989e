/** What all faults share: one Postgres, and a cluster of brokers with a proxy in front of it. */
import { Migrations } from "@invoice/adapters/postgres"
import { Effect, Layer, Redacted } from "effect"
import type { StartedKafka, StartedNode } from "../infra/kafka/index.ts"
import { connect } from "../programs/Sql.ts"
import { Cluster } from "./Cluster.ts"
import * as Ledger from "./Ledger.ts"
import { Postgres } from "./Postgres.ts"
import type { Random } from "./Random.ts"
import type { TcpProxy } from "./TcpProxy.ts"

export interface Soak {
  /** Minutes of load for fault 11. */
  readonly minutes: number
  /** Events of the backlog of fault 12. */
  readonly backlog: number
}

export interface Options {
  readonly random: Random
  readonly brokers: 1 | 3
  /** Whether to run more rounds of everything. */
  readonly long: boolean
  /** Undefined without `--soak`. */
  readonly soak: Soak | undefined
}

export interface World extends Options {
  readonly postgres: Postgres
  readonly cluster: Cluster
  readonly kafka: StartedKafka
  /** The first broker. */
  readonly node: StartedNode
  readonly proxy: TcpProxy
  /** Undoes what a scene did to the servers that all scenes share. */
  readonly heal: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** A database with the product's schema and the ledger, from which the scenes' databases are made. */
export const template = "faults_template"
export const keys = 40

/** Makes the template database. */
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

export const start = async (options: Options): Promise<World> => {
  const [postgres, cluster] = await Promise.allSettled([Postgres.start(), Cluster.start(options.brokers)])
  const stop = async (): Promise<void> => {
    await Promise.all([
      postgres.status === "fulfilled" ? postgres.value.stop() : undefined,
      cluster.status === "fulfilled" ? cluster.value.stop() : undefined
    ])
  }
  const node = cluster.status === "fulfilled" ? cluster.value.kafka.nodes[0] : undefined
  if (postgres.status === "rejected" || cluster.status === "rejected" || node === undefined) {
    await stop()
    throw new AggregateError(
      [postgres, cluster].flatMap((part) => (part.status === "rejected" ? [part.reason] : [])),
      "the fault suite needs Postgres's binaries (npm) and Java 17 with Maven for brokers that it may kill"
    )
  }
  await makeTemplate(postgres.value)
  const { kafka, proxy } = cluster.value
  const heal = async (): Promise<void> => {
    await Promise.all([postgres.value.heal(), cluster.value.heal()])
  }
  return { ...options, postgres: postgres.value, cluster: cluster.value, kafka, node, proxy, heal, stop }
}
