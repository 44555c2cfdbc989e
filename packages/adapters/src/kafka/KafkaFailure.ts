import { Schema } from "effect"

/** The properties of kafkajs' errors that are read here: errors wrap one another, and a protocol error has a `type`. */
interface Wrapped {
  readonly name?: unknown
  readonly type?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
}

const isWrapped = (error: unknown): error is Wrapped => typeof error === "object" && error !== null

/** The broker's error type anywhere inside an error, or the innermost error's name. */
const typeOf = (error: unknown, depth = 0): string => {
  if (!isWrapped(error)) return "UNKNOWN"
  if (typeof error.type === "string") return error.type
  if (Array.isArray(error.errors) && error.errors.length > 0) return typeOf(error.errors[0], depth + 1)
  // kafkajs may name an error as its own cause
  if (isWrapped(error.cause) && error.cause !== error && depth < 8) return typeOf(error.cause, depth + 1)
  return typeof error.name === "string" ? error.name : "UNKNOWN"
}

/**
 * The broker objects to the records themselves or to the name of their topic. Errors that somebody can correct without
 * touching the records are not listed: missing rights, a policy that keeps a topic from being created
 * (POLICY_VIOLATION), and this machine's clock (INVALID_TIMESTAMP).
 */
const refusals: ReadonlySet<string> = new Set([
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "INVALID_RECORD",
  "INVALID_TOPIC_EXCEPTION"
])

/** A right is missing. */
const denials: ReadonlySet<string> = new Set(["TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"])

/** Trying again can't help before somebody changes the configuration. */
const impossibilities: ReadonlySet<string> = new Set([
  "INVALID_CONFIG",
  "INVALID_GROUP_ID",
  "GROUP_AUTHORIZATION_FAILED",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_TOPIC_EXCEPTION",
  "INVALID_SESSION_TIMEOUT",
  "INCONSISTENT_GROUP_PROTOCOL",
  "UNSUPPORTED_SASL_MECHANISM",
  "SASL_AUTHENTICATION_FAILED",
  "KafkaJSSASLAuthenticationError"
])

const rebalances: ReadonlySet<string> = new Set([
  "REBALANCE_IN_PROGRESS",
  "NOT_COORDINATOR_FOR_GROUP",
  "ILLEGAL_GENERATION"
])

/** A rejection of kafkajs, or a failure that the adapter itself detects. */
export class KafkaFailure extends Schema.TaggedError<KafkaFailure>()("KafkaFailure", {
  /** Kafka's name for the error (`MESSAGE_TOO_LARGE`), else kafkajs' error class or the adapter's name (`STALLED`). */
  type: Schema.String,
  cause: Schema.Defect()
}) {
  static from(error: unknown): KafkaFailure {
    return new KafkaFailure({ type: typeOf(error), cause: error })
  }

  override get message(): string {
    return this.cause instanceof Error ? `${this.type}: ${this.cause.message}` : this.type
  }

  /** The broker will never take these records. */
  get refuses(): boolean {
    return refusals.has(this.type)
  }

  /** Somebody has to grant a right. */
  get denied(): boolean {
    return denials.has(this.type)
  }

  get impossible(): boolean {
    return impossibilities.has(this.type)
  }

  get rebalances(): boolean {
    return rebalances.has(this.type)
  }
}
