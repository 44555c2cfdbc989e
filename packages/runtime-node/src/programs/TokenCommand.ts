/** `invoice token`: signs a token for development, and for programs that show one to a storage program. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Console, Effect, Option, Redacted } from "effect"
import { SignJWT } from "jose"
import * as AccessScope from "../auth/AccessScope.ts"
import * as Auth from "../auth/Auth.ts"
import * as Identity from "../auth/Identity.ts"
import * as Config from "../Config.ts"
import { StartupError } from "./StartupError.ts"

export interface Options {
  /** Where `private.pem` and `public.pem` are, or are made. */
  readonly keys: Option.Option<string>
  readonly subject: string
  /** Scopes, separated by spaces or commas. */
  readonly scope: string
  /** A number and a unit: `15m`, `8h`, `30d`. */
  readonly expires: string
}

const refuse = (reason: string): Effect.Effect<never, StartupError> => Effect.fail(new StartupError({ reason }))

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }
const longestSeconds = 366 * 86_400

const secondsOf = (text: string): Effect.Effect<number, StartupError> => {
  const [, count = "", unit = ""] = /^(\d{1,9})([smhd])$/u.exec(text) ?? []
  const seconds = Number(count) * (unitSeconds[unit] ?? 0)
  return seconds >= 1 && seconds <= longestSeconds
    ? Effect.succeed(seconds)
    : refuse(`--expires ${text}: expected a number and s, m, h or d, such as 15m or 30d, at most 366d`)
}

const scopesOf = (text: string): Effect.Effect<string, StartupError> => {
  const names = text.split(/[\s,]+/u).filter((name) => name !== "")
  const unknown = names.find((name) => !(AccessScope.scopes as ReadonlyArray<string>).includes(name))
  if (unknown === undefined && names.length > 0) return Effect.succeed([...new Set(names)].join(" "))
  return refuse(`--scope ${unknown ?? text}: expected some of ${AccessScope.scopes.join(", ")}`)
}

/** What signs, and the algorithm that goes with it. */
interface Signer {
  readonly key: KeyObject | Uint8Array
  readonly algorithm: string
}

const curves: Readonly<Record<string, string>> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" }

const algorithmOf = (key: KeyObject): string | undefined => {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return "RS256"
    case "ed25519":
      return "EdDSA"
    case "ec":
      return curves[key.asymmetricKeyDetails?.namedCurve ?? ""]
    default:
      return undefined
  }
}

const fromPem = (about: string, pem: string): Effect.Effect<Signer, StartupError> =>
  Effect.flatMap(
    Effect.try({
      try: () => createPrivateKey(pem),
      catch: () => new StartupError({ reason: `${about}: it is not a private key in PEM` })
    }),
    (key) => {
      const algorithm = algorithmOf(key)
      return algorithm === undefined
        ? refuse(`${about}: expected a key for RSA, Ed25519 or the curves P-256, P-384, P-521`)
        : Effect.succeed({ key, algorithm })
    }
  )

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT"

/** Makes a pair for ES256, which every library knows. The private key is for its owner's eyes only. */
const makePair = async (directory: string): Promise<string> => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await writeFile(join(directory, "private.pem"), pem, { mode: 0o600, flag: "wx" })
  await writeFile(join(directory, "public.pem"), publicKey.export({ type: "spki", format: "pem" }))
  return pem
}

const fromDirectory = (directory: string): Effect.Effect<Signer, StartupError> =>
  Effect.gen(function* () {
    const failed = (error: unknown) =>
      new StartupError({ reason: `--keys: ${error instanceof Error ? error.message : String(error)}` })
    const path = join(directory, "private.pem")
    const found = yield* Effect.tryPromise({
      try: () => readFile(path, "utf8").catch((error) => (isMissing(error) ? undefined : Promise.reject(error))),
      catch: failed
    })
    if (found !== undefined) return yield* fromPem(path, found)
    const made = yield* Effect.tryPromise({ try: () => makePair(directory), catch: failed })
    yield* Console.error(
      `a new pair of keys is in ${directory}: private.pem signs, public.pem is for JWT_PUBLIC_KEY_FILE`
    )
    return yield* fromPem(path, made)
  })

const signer = (settings: Config.Settings, keys: Options["keys"]): Effect.Effect<Signer, StartupError> =>
  Effect.gen(function* () {
    if (Option.isSome(keys)) return yield* fromDirectory(keys.value)
    if (Option.isSome(settings.jwtPrivateKey)) {
      return yield* fromPem("JWT_PRIVATE_KEY", Redacted.value(settings.jwtPrivateKey.value))
    }
    const secret = yield* Auth.secret(settings)
    return secret === undefined
      ? yield* refuse("there is no key to sign with: say --keys DIRECTORY, or set JWT_SECRET or JWT_PRIVATE_KEY")
      : { key: secret, algorithm: "HS256" }
  })

/** The public half, so that a mistake shows here and not as a token that nobody accepts. */
const warnOfOtherKey = (settings: Config.Settings, { key }: Signer): Effect.Effect<void> =>
  Option.match(settings.jwtPublicKeyFile, {
    onNone: () => Effect.void,
    onSome: (path) =>
      key instanceof Uint8Array
        ? Effect.void
        : Effect.promise(() => readFile(path, "utf8").catch(() => "")).pipe(
            Effect.flatMap((text) =>
              text === "" || text.trimStart().startsWith("{") || text.includes(publicPem(key))
                ? Effect.void
                : Console.error(`JWT_PUBLIC_KEY_FILE (${path}) has another key, and would not accept this token`)
            )
          )
  })

const publicPem = (key: KeyObject): string => createPublicKey(key).export({ type: "spki", format: "pem" }).toString()

/** Prints the token alone on standard output, and what it is on standard error. */
export const run = ({ expires, keys, scope, subject }: Options): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const settings = yield* Config.load
    if (!Identity.isName(subject)) return yield* refuse("--subject: expected 1 to 255 printable characters")
    const seconds = yield* secondsOf(expires)
    const scopes = yield* scopesOf(scope)
    const signing = yield* signer(settings, keys)
    yield* warnOfOtherKey(settings, signing)
    const now = Math.floor(Date.now() / 1000)
    const [audience = Auth.defaultAudience] = Option.getOrElse(settings.jwtAudience, () => [Auth.defaultAudience])
    const unsigned = new SignJWT({ scope: scopes })
      .setProtectedHeader({ alg: signing.algorithm, typ: "JWT" })
      .setSubject(subject)
      .setAudience(audience)
      .setIssuedAt(now)
      .setExpirationTime(now + seconds)
    Option.match(settings.jwtIssuer, { onNone: () => unsigned, onSome: (issuer) => unsigned.setIssuer(issuer) })
    const token = yield* Effect.tryPromise({
      try: () => unsigned.sign(signing.key),
      catch: (error) => new StartupError({ reason: error instanceof Error ? error.message : String(error) })
    })
    yield* Console.error(`${subject}, ${scopes}, until ${new Date((now + seconds) * 1000).toISOString()}`)
    yield* Console.log(token)
  })
