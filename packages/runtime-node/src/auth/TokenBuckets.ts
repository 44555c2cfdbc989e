/**
 * Token buckets (https://en.wikipedia.org/wiki/Token_bucket), one for each name: a name may take `burst` at once, and gets
 * `perSecond` back each second. A bucket that is full again is as good as none, so only the busy ones need memory; beyond
 * `size` names the one that was used least recently is forgotten, which gives that name a full bucket.
 */
export interface Options {
  readonly perSecond: number
  readonly burst: number
  readonly size?: number
  readonly now?: () => number
}

interface Bucket {
  left: number
  /** When `left` was right. */
  at: number
}

/** At about 150 bytes each and the name: 20 MB at the most. */
const defaultSize = 50_000

export class TokenBuckets {
  private readonly perMilli: number
  private readonly burst: number
  private readonly size: number
  private readonly now: () => number
  private readonly buckets = new Map<string, Bucket>()

  constructor({ burst, now = () => performance.now(), perSecond, size = defaultSize }: Options) {
    this.perMilli = perSecond / 1000
    this.burst = burst
    this.size = size
    this.now = now
  }

  /** Takes one. Answers 0, or in how many milliseconds there will be one. */
  take(name: string): number {
    const bucket = this.bucketOf(name)
    if (bucket.left < 1) return (1 - bucket.left) / this.perMilli
    bucket.left--
    return 0
  }

  /** Takes one even when there is none. Answers in how many milliseconds the bucket will have made up for it. */
  charge(name: string): number {
    const bucket = this.bucketOf(name)
    bucket.left--
    return Math.max(0, -bucket.left / this.perMilli)
  }

  get names(): number {
    return this.buckets.size
  }

  /** The bucket as it is now. */
  private bucketOf(name: string): Bucket {
    const now = this.now()
    const bucket = this.buckets.get(name) ?? { left: this.burst, at: now }
    bucket.left = Math.min(this.burst, bucket.left + (now - bucket.at) * this.perMilli)
    bucket.at = now
    this.keep(name, bucket)
    return bucket
  }

  private keep(name: string, bucket: Bucket): void {
    this.buckets.delete(name)
    this.buckets.set(name, bucket)
    if (this.buckets.size > this.size) {
      for (const oldest of this.buckets.keys()) {
        this.buckets.delete(oldest)
        break
      }
    }
  }
}
