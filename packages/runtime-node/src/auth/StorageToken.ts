/** The token that our programs show to a storage program: from a setting, or from a file that may change while they run. */
import { readFile, stat } from "node:fs/promises"
import { Effect, Option, Redacted } from "effect"
import type { Settings } from "../Config.ts"
import { StartupError } from "../programs/StartupError.ts"

/** Answers the token to send now. */
export type StorageToken = () => string | Promise<string>

/** How often the file is looked at, at most. */
const lookMillis = 1_000

const readToken = async (path: string): Promise<string> => {
  const token = (await readFile(path, "utf8")).trim()
  if (!/^[\x21-\x7e]+$/u.test(token)) throw new Error("it has no token")
  return token
}

/** What tells one version of a file from another: a new file may have the time of the old one. */
const versionOf = async (path: string): Promise<string> => {
  const { ino, mtimeMs, size } = await stat(path)
  return `${ino} ${mtimeMs} ${size}`
}

/** A file that is being replaced may be away, or empty: the last token is good until the new one can be read. */
const fromFile = (path: string, first: string, firstVersion: string, now: () => number): StorageToken => {
  let token = first
  let version = firstVersion
  let lookedAt = now()
  let looking: Promise<string> | undefined
  const look = async (): Promise<string> => {
    try {
      const found = await versionOf(path)
      if (found !== version) {
        token = await readToken(path)
        version = found
      }
    } catch {
      // see above
    }
    return token
  }
  return () => {
    if (looking !== undefined) return looking
    if (now() - lookedAt < lookMillis) return token
    lookedAt = now()
    looking = look().finally(() => {
      looking = undefined
    })
    return looking
  }
}

/** Undefined when no token is set. */
export const load = (
  { storageToken, storageTokenFile }: Pick<Settings, "storageToken" | "storageTokenFile">,
  now: () => number = () => performance.now()
): Effect.Effect<StorageToken | undefined, StartupError> => {
  if (Option.isSome(storageToken)) {
    const token = Redacted.value(storageToken.value)
    return Effect.succeed(() => token)
  }
  return Option.match(storageTokenFile, {
    onNone: () => Effect.succeed(undefined),
    onSome: (path) =>
      Effect.tryPromise({
        try: async () => {
          const version = await versionOf(path)
          return fromFile(path, await readToken(path), version, now)
        },
        catch: (error) =>
          new StartupError({ reason: `STORAGE_TOKEN_FILE: ${error instanceof Error ? error.message : String(error)}` })
      })
  })
}
