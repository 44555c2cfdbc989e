/**
 * A Kafka for tests and benchmarks, from whatever the machine has: `KAFKA_BROKERS`, else Docker, else Java 17 with
 * Maven.
 */
import { Kafka, logLevel } from "kafkajs"
import { cureRequestQueue } from "../../../packages/adapters/src/kafka/RequestQueue.ts"
import { startInDocker } from "./Docker.ts"
import { startInJava } from "./Java.ts"

/** A broker that a test may harm. */
export interface StartedNode {
  /** `node.id`, from 1. */
  readonly id: number
  /** host:port */
  readonly address: string
  /** The port behind the proxy of {@link Options.proxies}. */
  readonly proxied: number | undefined
  /** Sends a signal; after SIGKILL and SIGTERM resolves when the process has ended. */
  readonly kill: (signal: NodeJS.Signals) => Promise<void>
  /** Starts it again on its port and data. Resolves before the broker is ready, so clients have to wait for it. */
  readonly restart: () => Promise<void>
}

export interface StartedKafka {
  /** host:port, comma separated, as KAFKA_BROKERS takes them. */
  readonly brokers: string
  /** Only when the brokers are processes of ours (Java). */
  readonly nodes: ReadonlyArray<StartedNode>
  /** The end of the brokers' log. */
  readonly log: () => Promise<string>
  /** Ends the processes and removes their data. */
  readonly stop: () => Promise<void>
}

export interface Options {
  /** Default 1; brokers that KAFKA_BROKERS names are taken as they are. */
  readonly brokers?: 1 | 3
  /**
   * Ports of proxies on this machine, one for each broker: brokers advertise the proxies to clients that come through
   * one. Only brokers that are processes of ours (Java) can do this.
   */
  readonly proxies?: ReadonlyArray<number>
}

const timeoutMillis = 60_000

/** Resolves when all brokers have joined the cluster and it has a controller. */
const answering = async (brokers: string, count: number): Promise<void> => {
  cureRequestQueue()
  const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING, retry: { retries: 0 } })
  const deadline = Date.now() + timeoutMillis
  for (;;) {
    const admin = kafka.admin()
    try {
      await admin.connect()
      const cluster = await admin.describeCluster()
      if (cluster.brokers.length >= count && cluster.controller !== null) return
      throw new Error(`${cluster.brokers.length} of ${count} brokers are there`)
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`no Kafka at ${brokers} after ${timeoutMillis} ms`, { cause: error })
      // a pause between two tries; only the answer ends the wait
      await new Promise((resolve) => setTimeout(resolve, 100))
    } finally {
      await admin.disconnect()
    }
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const launched = async (count: number, proxies: ReadonlyArray<number> | undefined): Promise<StartedKafka> => {
  if (proxies !== undefined) return startInJava(count, proxies)
  const failures: Array<string> = ["KAFKA_BROKERS: not set"]
  for (const [name, start] of [
    ["Docker", startInDocker],
    ["Java 17 and Maven", startInJava]
  ] as const) {
    try {
      return await start(count)
    } catch (error) {
      failures.push(`${name}: ${reason(error)}`)
    }
  }
  throw new Error(`There is no Kafka for the tests. Looked for\n${failures.join("\n")}`)
}

/** Starts a cluster and resolves when it answers; rejects with everything that was tried when none can be started. */
export const startKafka = async (options: Options = {}): Promise<StartedKafka> => {
  const given = process.env["KAFKA_BROKERS"]
  if (given !== undefined && given !== "" && options.proxies === undefined) {
    await answering(given, 1)
    return { brokers: given, nodes: [], log: async () => "", stop: async () => {} }
  }
  const count = options.brokers ?? 1
  const kafka = await launched(count, options.proxies)
  try {
    await answering(kafka.brokers, count)
    return kafka
  } catch (error) {
    const log = await kafka.log().catch(reason)
    await kafka.stop()
    throw new Error(`${reason(error)}\n${log}`, { cause: error })
  }
}
