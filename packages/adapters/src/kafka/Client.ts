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
  /** True uses the system's certificate authorities; default no TLS. */
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

/** Whatever these parts of kafkajs log as an error is dealt with there or fails the call. */
const loud: ReadonlySet<string> = new Set(["Connection", "BrokerPool", "Producer", "Consumer"])

const severity = (namespace: string, level: logLevel) => {
  if (loud.has(namespace)) return Effect.logDebug
  return level === logLevel.ERROR ? Effect.logWarning : Effect.logInfo
}

/** A client whose warnings and errors go to Effect's log. Dies when kafkajs is not the one that the adapter knows. */
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
      // who uses the client has its own back-off; this is for elections and moved coordinators
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
      logLevel: logLevel.WARN,
      logCreator: () => log
    })
  })

/** A last step that a broker which does not answer must not hold up. */
export const bounded = (step: Effect.Effect<unknown, KafkaFailure>, timeout: Duration.Input): Effect.Effect<void> =>
  // finalizers are not interruptible unless they say so
  Effect.ignore(Effect.timeout(Effect.interruptible(step), timeout))

/** A call of kafkajs, with whatever it rejects with as a typed failure. */
export const call = <A>(evaluate: () => Promise<A>): Effect.Effect<A, KafkaFailure> =>
  Effect.tryPromise({ try: evaluate, catch: KafkaFailure.from })
