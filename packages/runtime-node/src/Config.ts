/**
 * Every setting of every program, in one place: name, aliases, default, meaning. `invoice --help` and
 * `docs/settings.md` are made from this list. No other module of the packages reads the environment.
 */
import { Config, Option, Record, type Redacted } from "effect"
import { type Algorithm, algorithms } from "./auth/Algorithm.ts"
import {
  type Address,
  address,
  type Entry,
  entry,
  hostNames,
  integer,
  list,
  literals,
  milliseconds,
  origins,
  postgresUrl,
  type Setting,
  secureUrl,
  withDefault
} from "./Setting.ts"

export type { Address, Setting }

const entries = {
  databaseUrl: entry<Redacted.Redacted>({
    name: "DATABASE_URL",
    aliases: ["POSTGRES_CONNECTION_STRING"],
    default: "embedded Postgres (`up` only)",
    description: "Postgres to keep invoices in: postgres://user:password@host:port/database",
    read: postgresUrl
  }),
  databaseConnections: withDefault(8, {
    name: "DATABASE_CONNECTIONS",
    description:
      "most connections a program opens to Postgres for requests; watches have three more of their own, the relay two",
    read: integer(2, 1_000)
  }),
  databaseTimeoutMillis: withDefault(5_000, {
    name: "DATABASE_TIMEOUT_MS",
    description:
      "how long a request may wait for Postgres, the wait for a connection and for other statements included, in milliseconds; the relay's and the watches' reading six times as long",
    read: integer(100, 600_000)
  }),
  kafkaBrokers: entry<ReadonlyArray<string>>({
    name: "KAFKA_BROKERS",
    aliases: ["KAFKA_ADDRESS"],
    default: "in-process broker (`up` only)",
    description: "Kafka's bootstrap brokers, host:port, comma separated",
    read: list
  }),
  kafkaReplication: entry<number>({
    name: "KAFKA_REPLICATION",
    default: "3 where the cluster has 3 brokers, else 1",
    description: "replication factor of topics that are created at start",
    read: integer(1, 10)
  }),
  kafkaPartitions: withDefault(6, {
    name: "KAFKA_PARTITIONS",
    description: "partitions of topics that are created at start",
    read: integer(1, 1_000)
  }),
  kafkaPollMillis: withDefault(100, {
    name: "KAFKA_POLL_TIMEOUT_MS",
    description: "longest that a fetch waits at the broker for messages, in milliseconds",
    read: integer(1, 30_000)
  }),
  kafkaSessionMillis: withDefault(10_000, {
    name: "KAFKA_SESSION_TIMEOUT_MS",
    description:
      "how long a silent validator keeps its partitions before others take over, in milliseconds; the brokers must allow it",
    read: integer(6_000, 1_800_000)
  }),
  httpAddress: withDefault<Address>(
    { host: "127.0.0.1", port: 8080 },
    {
      name: "HTTP_ADDRESS",
      default: "127.0.0.1:8080",
      description:
        "where REST, Connect and gRPC-Web listen, host:port; `:8080` is every interface; port 0 picks a free one",
      read: address
    }
  ),
  onePort: withDefault(false, {
    name: "ONE_PORT",
    description: "true: REST, Connect, gRPC-Web and gRPC all on HTTP_ADDRESS, HTTP/1.1 and HTTP/2; TLS implies it",
    read: (name) => Config.Boolean(name)
  }),
  tlsCert: entry<string>({
    name: "TLS_CERT",
    default: "no TLS",
    description: "file with the certificate chain in PEM, for TLS on HTTP_ADDRESS (or `storage`'s GRPC_ADDRESS)",
    read: (name) => Config.NonEmptyString(name)
  }),
  tlsKey: entry<string>({
    name: "TLS_KEY",
    default: "no TLS",
    description: "file with the private key in PEM that TLS_CERT belongs to",
    read: (name) => Config.NonEmptyString(name)
  }),
  grpcAddress: withDefault<Address>(
    { host: "127.0.0.1", port: 5000 },
    {
      name: "GRPC_ADDRESS",
      default: "127.0.0.1:5000",
      description: "where gRPC listens (cleartext HTTP/2), host:port; port 0 picks a free one",
      read: address
    }
  ),
  grpcPort: entry<number>({
    name: "GRPC_PORT",
    default: "the port of GRPC_ADDRESS",
    description: "port of GRPC_ADDRESS alone",
    read: integer(0, 65_535)
  }),
  storageAddress: entry<string>({
    name: "STORAGE_ADDRESS",
    default: "none: Postgres directly",
    description:
      "an `invoice storage` to keep invoices in instead of Postgres, for `api`, `relay` and `validator`: host:port, or https://host:port",
    read: (name) => Config.NonEmptyString(name)
  }),
  storageToken: entry<Redacted.Redacted>({
    name: "STORAGE_TOKEN",
    default: "none",
    description: "token with the scope `internal` to show to STORAGE_ADDRESS",
    read: (name) => Config.Redacted(name)
  }),
  storageTokenFile: entry<string>({
    name: "STORAGE_TOKEN_FILE",
    default: "none",
    description: "file with this token, instead of STORAGE_TOKEN; it is read again when it changes",
    read: (name) => Config.NonEmptyString(name)
  }),
  storageTimeoutMillis: withDefault(10_000, {
    name: "STORAGE_TIMEOUT_MS",
    description:
      "how long one call to STORAGE_ADDRESS may take, in milliseconds; the relay's reading six times as long",
    read: milliseconds
  }),
  metricsAddress: withDefault<Address>(
    { host: "127.0.0.1", port: 9090 },
    {
      name: "METRICS_ADDRESS",
      default: "127.0.0.1:9090",
      description: "where /metrics, /healthz and /readyz of every program listen, host:port; port 0 picks a free one",
      read: address
    }
  ),
  metricsPort: entry<number>({
    name: "PROMETHEUS_PORT",
    default: "the port of METRICS_ADDRESS",
    description: "port of METRICS_ADDRESS alone",
    read: integer(0, 65_535)
  }),
  authSetting: entry<"loopback" | "off" | "jwt">({
    name: "AUTH",
    default: "jwt when a setting of tokens is set, else loopback",
    description:
      "jwt: every request needs a token; loopback: nobody does, so refuse to listen beyond this machine; off: nobody does, listen anywhere",
    read: (name) => Config.Literals(["loopback", "off", "jwt"], name)
  }),
  jwksUrl: entry<string>({
    name: "JWT_JWKS_URL",
    default: "none",
    description: "the identity provider's key set (JWKS), https://…; needs JWT_ISSUER",
    read: secureUrl
  }),
  jwtPublicKeyFile: entry<string>({
    name: "JWT_PUBLIC_KEY_FILE",
    default: "none",
    description: "file with the public keys that tokens are signed with: PEM, several in a row, or a JSON Web Key Set",
    read: (name) => Config.NonEmptyString(name)
  }),
  jwtSecret: entry<Redacted.Redacted>({
    name: "JWT_SECRET",
    default: "none",
    description: "secret shared with whoever signs tokens (HS256), of at least 32 bytes",
    read: (name) => Config.Redacted(name)
  }),
  jwtSecretFile: entry<string>({
    name: "JWT_SECRET_FILE",
    default: "none",
    description: "file with the secret, instead of JWT_SECRET",
    read: (name) => Config.NonEmptyString(name)
  }),
  jwtIssuer: entry<string>({
    name: "JWT_ISSUER",
    default: "any; JWT_JWKS_URL needs one",
    description: "the issuer (`iss`) that tokens must have",
    read: (name) => Config.NonEmptyString(name)
  }),
  jwtAudience: entry<ReadonlyArray<string>>({
    name: "JWT_AUDIENCE",
    default: "invoice",
    description: "the audience (`aud`) that tokens must have; one of them, when several are listed, comma separated",
    read: list
  }),
  jwtAlgorithms: entry<ReadonlyArray<Algorithm>>({
    name: "JWT_ALGORITHMS",
    default: "RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA; with a secret HS256 to HS512",
    description: "algorithms that tokens may be signed with, comma separated; HS* only with a secret",
    read: literals(algorithms)
  }),
  jwtClockSkewSeconds: entry<number>({
    name: "JWT_CLOCK_SKEW_SECONDS",
    default: "30",
    description: "how far the clock of the tokens' issuer may be off, in seconds",
    read: integer(0, 600)
  }),
  jwtPrivateKey: entry<Redacted.Redacted>({
    name: "JWT_PRIVATE_KEY",
    default: "none",
    description: "private key in PEM that `invoice token` signs with; it lets nobody in, and no other program uses it",
    read: (name) => Config.Redacted(name)
  }),
  rateLimitPerSecond: entry<number>({
    name: "RATE_LIMIT_PER_SECOND",
    default: "no limit",
    description:
      "requests a second that each principal gets from each process; without authentication, each remote address",
    read: integer(1, 1_000_000)
  }),
  rateLimitBurst: entry<number>({
    name: "RATE_LIMIT_BURST",
    default: "twice RATE_LIMIT_PER_SECOND",
    description: "requests that a principal may send at once after a pause",
    read: integer(1, 10_000_000)
  }),
  quotaPerDay: entry<number>({
    name: "QUOTA_PER_DAY",
    default: "no quota",
    description: "requests that each principal gets from each process in 24 hours; a restart forgets what was used",
    read: integer(1, 1_000_000_000)
  }),
  allowedHosts: withDefault<ReadonlyArray<string>>([], {
    name: "ALLOWED_HOSTS",
    default: "with AUTH=loopback localhost, 127.0.0.0/8 and ::1; otherwise every name",
    description:
      "host names that requests may name, without ports, comma separated; others are refused (DNS rebinding)",
    read: hostNames
  }),
  allowedOrigins: withDefault<ReadonlyArray<string>>([], {
    name: "ALLOWED_ORIGINS",
    default: "none but the program's own",
    description:
      "origins whose web pages may send requests and read the answers (CORS), such as https://app.example.com, comma separated",
    read: origins
  }),
  dataDir: entry<string>({
    name: "DATA_DIR",
    default: ".data; where root starts `up` and user postgres can't enter that, a directory in /var/lib/invoice",
    description: "where `up` keeps its embedded Postgres",
    read: (name) => Config.NonEmptyString(name)
  }),
  validator: withDefault<"core" | "simulated">("core", {
    name: "VALIDATOR",
    description:
      "what judges invoices: core (the rules) or simulated (random, as in the reference; for demonstrations)",
    read: (name) => Config.Literals(["core", "simulated"], name)
  }),
  profile: entry<string>({
    name: "VALIDATOR_PROFILE",
    default: "the core rules",
    description:
      "module (.ts or .js) that exports a profile to judge by, instead of the core rules; relative to the current directory",
    read: (name) => Config.NonEmptyString(name)
  }),
  simulatedSeed: withDefault(0, {
    name: "SIMULATED_SEED",
    description: "seed of the simulated validator: the same seed gives the same verdicts",
    read: integer(0, 2 ** 31 - 1)
  }),
  workers: withDefault(3, {
    name: "WORKERS_COUNT",
    description: "partitions that a validator works on at a time",
    read: integer(1, 64)
  }),
  maxTries: withDefault(10, {
    name: "VALIDATOR_MAX_TRIES",
    description:
      "tries of a message that keeps failing when it is tried alone, before it becomes a dead letter; a try counts only while the store proves that it takes writes",
    read: integer(1, 1_000_000)
  }),
  relayPage: withDefault(1_000, {
    name: "RELAY_PAGE",
    description: "most events that the relay sends to the broker at once",
    read: integer(1, 10_000)
  }),
  leaseMillis: withDefault(10_000, {
    name: "RELAY_LEASE_MS",
    description: "how long a silent relay keeps its lane before a standby takes over, in milliseconds",
    read: integer(1_000, 600_000)
  }),
  idleMillis: withDefault(50, {
    name: "DISPATCH_INTERVAL_MS",
    description: "longest that an idle relay waits before it looks for new events, in milliseconds",
    read: milliseconds
  }),
  retryMillis: withDefault(1_000, {
    name: "RETRY_INTERVAL_MS",
    description: "longest wait between two tries while Postgres or Kafka is unavailable, in milliseconds",
    read: milliseconds
  }),
  outboxRetentionHours: withDefault(168, {
    name: "OUTBOX_RETENTION_HOURS",
    description: "how long published events are kept at least, and changes can be watched, in hours",
    read: integer(1, 87_600)
  }),
  shutdownMillis: withDefault(9_000, {
    name: "SHUTDOWN_TIMEOUT_MS",
    description: "longest that a stop waits for requests and batches in hand, in milliseconds",
    read: milliseconds
  }),
  idleTimeoutMillis: withDefault(65_000, {
    name: "IDLE_TIMEOUT_MS",
    description: "how long a connection without a request is kept, in milliseconds",
    read: milliseconds
  }),
  maxInFlight: withDefault(2_000, {
    name: "HTTP_MAX_IN_FLIGHT",
    description: "most requests in hand at once; above it REST answers 503 with Retry-After, a call RESOURCE_EXHAUSTED",
    read: integer(1, 1_000_000)
  }),
  maxWatches: withDefault(2_000, {
    name: "HTTP_MAX_WATCHES",
    description: "most watches of changes at once, of all protocols; further ones are refused with RESOURCE_EXHAUSTED",
    read: integer(1, 1_000_000)
  }),
  maxImports: withDefault(100, {
    name: "HTTP_MAX_IMPORTS",
    description: "most imports at once, of all protocols; further ones are refused with 503 or RESOURCE_EXHAUSTED",
    read: integer(1, 1_000_000)
  }),
  httpBufferMegabytes: withDefault(64, {
    name: "HTTP_BUFFER_MB",
    description:
      "most megabytes of request bodies in hand, and half as many of answers that wait to be sent; beyond it the slowest is cut off",
    read: integer(16, 65_536)
  }),
  otelCollector: entry<string>({
    name: "OTEL_COLLECTOR_ADDRESS",
    default: "no export",
    description: "OpenTelemetry collector for traces and metrics over OTLP/HTTP, host:port or URL",
    read: (name) => Config.NonEmptyString(name)
  }),
  logLevel: withDefault<"debug" | "info" | "warn" | "error">("info", {
    name: "LOG_LEVEL",
    description: "least level that is logged: debug, info, warn or error",
    read: (name) => Config.Literals(["debug", "info", "warn", "error"], name)
  }),
  logFormat: entry<"pretty" | "json">({
    name: "LOG_FORMAT",
    default: "pretty on a terminal, else json",
    description: "pretty or json (one object a line)",
    read: (name) => Config.Literals(["pretty", "json"], name)
  })
} satisfies Record<string, Entry<unknown>>

/** Every setting, in the order of the help. */
export const settings: ReadonlyArray<Setting> = Object.values(entries)

/** The settings of a program, read and checked. */
export const load = Config.map(
  Config.all(
    Record.map(entries, (entry) => entry.config) as { [K in keyof typeof entries]: (typeof entries)[K]["config"] }
  ),
  ({ grpcAddress, grpcPort, metricsAddress, metricsPort, ...rest }) => ({
    ...rest,
    auth: Option.getOrElse(rest.authSetting, () => (tokenSettings(rest).length > 0 ? "jwt" : "loopback")),
    grpcAddress: { ...grpcAddress, port: Option.getOrElse(grpcPort, () => grpcAddress.port) },
    metricsAddress: { ...metricsAddress, port: Option.getOrElse(metricsPort, () => metricsAddress.port) }
  })
)

export type Settings = Config.Success<typeof load>

const tokenKeys = [
  "jwksUrl",
  "jwtPublicKeyFile",
  "jwtSecret",
  "jwtSecretFile",
  "jwtIssuer",
  "jwtAudience",
  "jwtAlgorithms",
  "jwtClockSkewSeconds"
] as const

/** The names of the settings that only mean something when tokens are checked, as far as they are set. */
export const tokenSettings = (
  settings: Readonly<Record<(typeof tokenKeys)[number], Option.Option<unknown>>>
): ReadonlyArray<string> => tokenKeys.filter((key) => Option.isSome(settings[key])).map((key) => entries[key].name)
