/**
 * Verified tokens, each until it expires. Its key is the token's SHA-256, so nothing that could be sent again is kept, and
 * an entry has the same few hundred bytes however long its token is. When it is full, the entry that was used least
 * recently makes room. Only tokens that were found valid are kept, so a stranger can't fill it.
 */
import { hash } from "node:crypto"
import type { Identity } from "./Identity.ts"

/** At about 600 bytes each: 6 MB. */
const defaultSize = 10_000

export class TokenCache {
  private readonly size: number
  private readonly now: () => number
  private readonly entries = new Map<string, Identity>()

  constructor({ now = Date.now, size = defaultSize }: { readonly now?: () => number; readonly size?: number } = {}) {
    this.now = now
    this.size = size
  }

  static keyOf(token: string): string {
    return hash("sha256", token, "base64")
  }

  get(key: string): Identity | undefined {
    const identity = this.entries.get(key)
    if (identity === undefined) return undefined
    this.entries.delete(key)
    if (identity.expiresAt <= this.now()) return undefined
    this.entries.set(key, identity)
    return identity
  }

  set(key: string, identity: Identity): void {
    this.entries.delete(key)
    this.entries.set(key, identity)
    if (this.entries.size > this.size) {
      for (const oldest of this.entries.keys()) {
        this.entries.delete(oldest)
        break
      }
    }
  }

  /** Forgets everything: the keys have changed, and one of them may have been withdrawn. */
  clear(): void {
    this.entries.clear()
  }
}
