/** How often each kind of harm was drawn and how often it mattered. A world in which no harm matters proves nothing. */
export interface Counts {
  drawn: number
  mattered: number
}

export class Coverage {
  readonly counts = new Map<string, Counts>()

  drawn(what: string, times = 1): void {
    this.of(what).drawn += times
  }

  mattered(what: string, times = 1): void {
    this.of(what).mattered += times
  }

  add(other: Iterable<readonly [string, Counts]>): void {
    for (const [what, { drawn, mattered }] of other) {
      const counts = this.of(what)
      counts.drawn += drawn
      counts.mattered += mattered
    }
  }

  private of(what: string): Counts {
    const found = this.counts.get(what)
    if (found !== undefined) return found
    const made: Counts = { drawn: 0, mattered: 0 }
    this.counts.set(what, made)
    return made
  }
}
