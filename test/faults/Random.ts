/** Repeatable random numbers: the same seed and name give the same ones. */
export class Random {
  private state: number
  private readonly seed: number

  constructor(seed: number) {
    this.seed = seed
    this.state = seed | 0
  }

  /** 0 ≤ x < 1 (mulberry32). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<A>(some: ReadonlyArray<A>): A {
    const one = some[this.between(0, some.length - 1)]
    if (one === undefined) throw new Error("nothing to pick from")
    return one
  }

  /** Random numbers for one part, independent of what other parts draw meanwhile. */
  fork(name: string): Random {
    let hash = this.seed
    for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
    return new Random(hash)
  }
}
