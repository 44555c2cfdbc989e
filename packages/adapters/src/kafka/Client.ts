/** How to reach a cluster; the only place that makes a kafkajs client. */
import { Duration, Effect, Redacted } from "effect"
import { Kafka, type KafkaConfig, type LogEntry, logLevel } from "kafkajs"
import { KafkaFailure } from "./KafkaFailure.ts"
import { requireShapes } from "./PrivateShapes.ts"
import { cureRequestQueue } from "./RequestQueue.ts"

/** PEM texts, as `tls.connect` takes them. */
export interface Tls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: Redacted.Redacted
  readonly servername?: string
}

export interface Sasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}

export interface Connection {
  /** host:port of at least one broker. */
  readonly brokers: ReadonlyArray<string>
  /** Shows in the brokers' logs and quotas; default `invoice`. */
  readonly clientId?: string
  /** True uses the default certificate authorities of Node.js; default no TLS. */
  readonly tls?: boolean | Tls
  readonly sasl?: Sasl
  /** How long a connection may take to open; default 3 s. */
  readonly connectTimeout?: Duration.Input
  /** How long an answer may take; default 10 s. */
  readonly requestTimeout?: Duration.Input
}

export const millis = (duration: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(duration))

const tlsOf = ({ key, ...tls }: Tls): NonNullable<KafkaConfig["ssl"]> => ({
  ...tls,
  ...(key === undefined ? {} : { key: Redacted.value(key) })
})

const saslOf = ({ mechanism, username, password }: Sasl): NonNullable<KafkaConfig["sasl"]> => {
  const credentials = { username, password: Redacted.value(password) }
  switch (mechanism) {
    case "plain":
      return { mechanism, ...credentials }
    case "scram-sha-256":
      return { mechanism, ...credentials }
    case "scram-sha-512":
      return { mechanism, ...credentials }
  }
}

/** Parts of kafkajs whose logged errors need no attention: they are handled there, or they fail the call. */
const debugOnly: ReadonlySet<string> = new Set(["Connection", "BrokerPool", "Producer", "Consumer"])

const severity = (namespace: string, level: logLevel) => {
  if (debugOnly.has(namespace)) return Effect.logDebug
  return level === logLevel.ERROR ? Effect.logWarning : Effect.logInfo
}

/** A client whose warnings and errors go to Effect's log. Dies when kafkajs does not behave as the adapter needs it. */
export const make = (connection: Connection): Effect.Effect<Kafka> =>
  Effect.map(Effect.andThen(requireShapes, Effect.context<never>()), (context) => {
    cureRequestQueue()
    const run = Effect.runForkWith(context)
    const log = ({ namespace, level, log: { message, error } }: LogEntry): void => {
      const details = typeof error === "string" ? { kafkajs: namespace, error } : { kafkajs: namespace }
      run(Effect.annotateLogs(severity(namespace, level)(message), details))
    }
    const { tls, sasl } = connection
    return new Kafka({
      brokers: [...connection.brokers],
      clientId: connection.clientId ?? "invoice",
      ...(tls === undefined ? {} : { ssl: typeof tls === "boolean" ? tls : tlsOf(tls) }),
      ...(sasl === undefined ? {} : { sasl: saslOf(sasl) }),
      connectionTimeout: millis(connection.connectTimeout ?? "3 seconds"),
      requestTimeout: millis(connection.requestTimeout ?? "10 seconds"),
      // the users of the client have a back-off of their own; this one is for elections and moved coordinators
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
      logLevel: logLevel.WARN,
      logCreator: () => log
    })
  })

/** Runs a closing step that may take no longer than `timeout`, even if the broker does not answer. Never fails. */
export const bounded = (step: Effect.Effect<unknown, KafkaFailure>, timeout: Duration.Input): Effect.Effect<void> =>
  // finalizers are not interruptible by default
  Effect.ignore(Effect.timeout(Effect.interruptible(step), timeout))

/** A call of kafkajs; its rejection becomes a typed failure. */
export const call = <A>(evaluate: () => Promise<A>): Effect.Effect<A, KafkaFailure> =>
  Effect.tryPromise({ try: evaluate, catch: KafkaFailure.from })
