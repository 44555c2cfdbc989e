/** What a setting is, and how its text is read. */
import { Config, Option, Redacted, Schema } from "effect"
import { isLoopback } from "./Loopback.ts"

/** A line of the settings table. */
export interface Setting {
  readonly name: string
  /** Other accepted names; the first one that is set wins. Most are the names of the reference service. */
  readonly aliases: ReadonlyArray<string>
  /** The default in words. */
  readonly default: string
  readonly description: string
}

export interface Entry<A> extends Setting {
  readonly config: Config.Config<A>
}

/** A setting without a default value: it reads as `Option.none()` when it is not set. */
export const entry = <A>(options: {
  readonly name: string
  readonly aliases?: ReadonlyArray<string>
  readonly default: string
  readonly description: string
  readonly read: (name: string) => Config.Config<A>
}): Entry<Option.Option<A>> => {
  const aliases = options.aliases ?? []
  return {
    name: options.name,
    aliases,
    default: options.default,
    description: options.description,
    config: [options.name, ...aliases].reduceRight<Config.Config<Option.Option<A>>>(
      (otherwise, name) =>
        Config.flatMap(Config.option(options.read(name)), (value) =>
          Option.isSome(value) ? Config.succeed(value) : otherwise
        ),
      Config.succeed(Option.none())
    )
  }
}

export const withDefault = <A>(
  value: A,
  options: Omit<Parameters<typeof entry<A>>[0], "default"> & { readonly default?: string }
): Entry<A> => {
  const optional = entry<A>({ ...options, default: options.default ?? String(value) })
  return {
    ...optional,
    config: Config.map(
      optional.config,
      Option.getOrElse(() => value)
    )
  }
}

/** Where a server listens. */
export interface Address {
  readonly host: string
  /** 0 lets the system pick a free port. */
  readonly port: number
}

// port: 0 to 65535
const addressPattern = /^(\[[0-9a-fA-F:]+\]|[^:[\]]*):(6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[0-5]?\d{1,4})$/u

export const address = (name: string): Config.Config<Address> =>
  Config.map(
    Config.schema(
      Schema.String.check(
        Schema.isPattern(addressPattern, { message: "Expected host:port or :port, such as 127.0.0.1:8080" })
      ),
      name
    ),
    (text) => {
      const colon = text.lastIndexOf(":")
      // Go's ":8080" means every interface
      return { host: text.slice(0, colon).replace(/^\[|\]$/gu, "") || "0.0.0.0", port: Number(text.slice(colon + 1)) }
    }
  )

/** An integer from `minimum` to `maximum`, both included. */
export const integer =
  (minimum: number, maximum: number) =>
  (name: string): Config.Config<number> =>
    Config.schema(Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum, maximum })), name)

const splitList = (text: string): ReadonlyArray<string> =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")

/** Comma separated. */
export const list = (name: string): Config.Config<ReadonlyArray<string>> =>
  Config.map(Config.NonEmptyString(name), splitList)

/** Comma separated names of a closed set. */
export const literals =
  <A extends string>(names: ReadonlyArray<A>) =>
  (name: string): Config.Config<ReadonlyArray<A>> =>
    Config.schema(
      Schema.String.check(
        Schema.makeFilter(
          (text: string) =>
            splitList(text).every((part) => (names as ReadonlyArray<string>).includes(part)) ||
            `Expected some of ${names.join(", ")}`
        )
      ),
      name
    ).pipe(Config.map((text) => names.filter((part) => splitList(text).includes(part))))

/** A URL that is fetched over TLS, or on this machine. */
export const secureUrl = (name: string): Config.Config<string> =>
  Config.schema(
    Schema.String.check(
      Schema.makeFilter(
        (text: string) =>
          (URL.canParse(text) && isSecure(new URL(text))) || "Expected an https:// URL (http:// only on this machine)"
      )
    ),
    name
  )

const isSecure = ({ hostname, protocol }: URL): boolean =>
  protocol === "https:" || (protocol === "http:" && isLoopback(hostname.replace(/^\[|\]$/gu, "")))

/** 1 ms to an hour. */
export const milliseconds = integer(1, 3_600_000)

/** Each of a list must match. */
const listOf =
  (pattern: RegExp, message: string) =>
  (name: string): Config.Config<ReadonlyArray<string>> =>
    Config.schema(
      Schema.String.check(
        Schema.makeFilter((text: string) => splitList(text).every((part) => pattern.test(part)) || message)
      ),
      name
    ).pipe(Config.map((text) => splitList(text).map((part) => part.toLowerCase())))

export const hostNames = listOf(
  /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:]*:[0-9a-f:]*)$/iu,
  "Expected host names or addresses without ports, such as invoices.example.com"
)

export const origins = listOf(
  /^https?:\/\/([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$/iu,
  "Expected origins without a path, such as https://app.example.com"
)

/** Whether each `%` begins a percent-encoded byte, and the bytes are UTF-8 (RFC 3986, section 2.1). */
const isPercentEncoded = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** The URL of a Postgres. It holds a password, so a message never shows it. */
export const postgresUrl = (name: string): Config.Config<Redacted.Redacted> =>
  Config.map(
    Config.schema(
      Schema.String.check(
        Schema.makeFilter(
          (text: string) =>
            (URL.canParse(text) && /^postgres(ql)?:$/u.test(new URL(text).protocol)) ||
            "Expected postgres://user:password@host:port/database"
        ),
        Schema.makeFilter(
          (text: string) =>
            isPercentEncoded(text) || "Expected %25 for each % of a user name or password, as in every URL"
        )
      ),
      name
    ),
    (text) => Redacted.make(text)
  )
