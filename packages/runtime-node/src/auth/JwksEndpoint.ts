/**
 * The public keys of an identity provider, from its JWKS URL (RFC 7517, 5).
 *
 * - The keys are fetched again every five minutes, so that one that is withdrawn is not accepted for longer.
 * - A token with an unknown key makes us look again at once, but not more than once in half a minute, whatever arrives.
 * - While the endpoint is away the keys that we know are kept, for at most a day: by then the tokens that were signed
 *   with them have expired. A token with another key can't be judged then, so it is answered 503 and not 401.
 */
import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWSHeaderParameters,
  type LocalJWKSet
} from "jose"

/** How long a fetch may take. */
const deadlineMillis = 5_000
/** Shortest time between two fetches. */
export const cooldownMillis = 30_000
/** How often the keys are fetched when nothing else asks for it. */
export const refreshMillis = 300_000
/** How long keys are trusted while they can't be fetched again. */
const keepMillis = 86_400_000
/** Most bytes of a set: some hundred keys. */
const maxBytes = 262_144
/** Most requests that wait for one fetch; more are answered at once. */
const maxWaiting = 1_000

/** The keys can't be fetched, so it is not known whether a token is good. */
export class KeysUnavailable extends Error {}

export interface Options {
  readonly url: string
  /** Called after a fetch: with the reason when it failed. */
  readonly onFetch?: (failure: string | undefined) => void
  /** Called when other keys than before came. */
  readonly onChange?: () => void
  readonly now?: () => number
}

const readBounded = async (response: Response): Promise<string> => {
  const chunks: Array<Uint8Array> = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

/** Redirects are refused: they could lead away from TLS, or to where only this process can go. */
const download = async (url: string): Promise<string> => {
  const response = await fetch(url, {
    redirect: "manual",
    headers: { accept: "application/jwk-set+json, application/json" },
    signal: AbortSignal.timeout(deadlineMillis)
  })
  if (response.status !== 200) throw new Error(`the answer's status is ${response.status}`)
  return readBounded(response)
}

export class JwksEndpoint {
  private readonly options: Options
  private readonly now: () => number
  private keys: LocalJWKSet | undefined
  private text = ""
  private fetchedAt = Number.NEGATIVE_INFINITY
  private triedAt = Number.NEGATIVE_INFINITY
  private failed = false
  private fetching: Promise<void> | undefined
  private waiting = 0

  constructor(options: Options) {
    this.options = options
    this.now = options.now ?? Date.now
  }

  /** Whether the last fetch failed. */
  get isAway(): boolean {
    return this.failed
  }

  /** Fetches the keys now, or waits for the fetch under way. It never rejects: `isAway` says how it went. */
  refresh(): Promise<void> {
    this.fetching ??= this.fetch().finally(() => {
      this.fetching = undefined
    })
    return this.fetching
  }

  /** The key that a token's header names. Rejects with `KeysUnavailable`, or with jose's errors. */
  async find(header: JWSHeaderParameters): Promise<CryptoKey> {
    try {
      return await this.known(header)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey || error instanceof KeysUnavailable)) throw error
      await this.lookAgain()
      return this.known(header)
    }
  }

  private known(header: JWSHeaderParameters): Promise<CryptoKey> {
    if (this.keys === undefined || this.now() - this.fetchedAt > keepMillis) {
      return Promise.reject(new KeysUnavailable())
    }
    return this.keys(header).catch((error: unknown) => {
      throw error instanceof errors.JWKSNoMatchingKey && this.failed ? new KeysUnavailable() : error
    })
  }

  private async lookAgain(): Promise<void> {
    const cooling = this.fetching === undefined && this.now() - this.triedAt < cooldownMillis
    if (cooling) return
    if (this.waiting >= maxWaiting) throw new KeysUnavailable()
    this.waiting++
    try {
      await this.refresh()
    } finally {
      this.waiting--
    }
  }

  private async fetch(): Promise<void> {
    this.triedAt = this.now()
    let failure: string | undefined
    try {
      this.take(await download(this.options.url))
    } catch (error) {
      failure =
        error instanceof Error ? [error.message, reasonOf(error.cause)].filter(Boolean).join(": ") : String(error)
    }
    this.failed = failure !== undefined
    this.options.onFetch?.(failure)
  }

  private take(text: string): void {
    if (text !== this.text) {
      this.keys = createLocalJWKSet(JSON.parse(text) as JSONWebKeySet)
      this.text = text
      this.options.onChange?.()
    }
    this.fetchedAt = this.now()
  }
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : "")
