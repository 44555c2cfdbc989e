/**
 * The end of all changes, read once for all who watch it.
 *
 * One fiber asks the store for what is new, and links each page to the place behind which it came. A watch keeps the
 * place that it has reached and takes what is linked there, so a thousand watches that have seen everything cost one
 * query. Only the newest pages are kept: a watch that falls behind them reads from the store by itself.
 */
import { Clock, Effect } from "effect"
import type { CursorExpired, InvalidCursor, StoreUnavailable } from "../domain/InvoiceError.ts"
import type { Change, InvoiceStore } from "../ports/InvoiceStore.ts"

/** Maximum number of changes in one page. */
export const pageSize = 500
/** How long the tail waits after it has seen everything, before it looks again. */
const idleMillis = 100
/** How often those whose time is over are looked for. */
const sweepMillis = 1_000
/** What the kept pages may weigh together: about 10 MB of changes without violations. */
const maxWeight = 20_000

/** How much memory a change takes, in units of a change without violations. */
export const weightOf = ({ violations }: Change): number => 1 + violations.length

/** A place among the changes: behind some of them, before all others. */
export class Place {
  /** Resumes at this place. It gets newer when the store was asked and had nothing. */
  cursor: string
  /** What comes here, and the place behind it; undefined until it is read, and again when it is no longer kept. */
  page: { readonly changes: ReadonlyArray<Change>; readonly end: string; readonly next: Place } | undefined
  /** Why nothing will come here: it is no longer kept, or the store could not be read from here. */
  end: "NotKept" | "Broken" | StoreUnavailable | undefined
  /** Those who wait for one of the two, or until their time is over. */
  readonly waiting = new Set<{ readonly due: number; readonly resume: () => void }>()

  constructor(cursor: string) {
    this.cursor = cursor
  }

  wake(): void {
    for (const { resume } of this.waiting) resume()
    this.waiting.clear()
  }
}

export interface ChangesTail {
  /** Reads the tail until interrupted, and then keeps nothing. */
  readonly run: Effect.Effect<never>
  /** A place behind everything that was committed when this was called. */
  readonly place: Effect.Effect<Place, StoreUnavailable>
  /** Waits until the place has a page or an end, or until a time, which may pass by a second. */
  readonly wait: (place: Place, due: number) => Effect.Effect<void>
}

type Ask = (place: Effect.Effect<Place, StoreUnavailable>) => void

class Tail {
  private readonly store: Pick<InvoiceStore["Service"], "changes" | "head">
  private readonly clock: Clock.Clock
  private last: Place | undefined
  private kept: Array<Place> = []
  private weight = 0
  private asks: Array<Ask> = []

  constructor(store: Pick<InvoiceStore["Service"], "changes" | "head">, clock: Clock.Clock) {
    this.store = store
    this.clock = clock
  }

  readonly place: ChangesTail["place"] = Effect.callback((resume) => {
    this.asks.push(resume)
    return Effect.sync(() => {
      this.asks = this.asks.filter((ask) => ask !== resume)
    })
  })

  readonly wait: ChangesTail["wait"] = (place, due) =>
    Effect.callback((resume) => {
      if (place.page !== undefined || place.end !== undefined) {
        resume(Effect.void)
        return
      }
      const waiting = { due, resume: () => resume(Effect.void) }
      place.waiting.add(waiting)
      return Effect.sync(() => place.waiting.delete(waiting))
    })

  readonly run: ChangesTail["run"] = Effect.suspend(() =>
    Effect.ensuring(
      Effect.raceFirst(this.poll, this.sweep),
      Effect.sync(() => this.forget("NotKept"))
    )
  )

  private readonly poll: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    while (true) {
      // those who ask from here on get a place that is read later
      const asks = this.asks
      this.asks = []
      const mayHaveMore = yield* Effect.catch(this.read, (error) => Effect.sync(() => this.fail(error, asks)))
      if (mayHaveMore) {
        this.asks = [...asks, ...this.asks]
      } else {
        const { last } = this
        if (last !== undefined) for (const ask of asks) ask(Effect.succeed(last))
        yield* Effect.sleep(`${idleMillis} millis`)
      }
    }
  })

  /** Wakes those whose time is over. */
  private readonly sweep: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    while (true) {
      yield* Effect.sleep(`${sweepMillis} millis`)
      const now = this.clock.currentTimeMillisUnsafe()
      for (const waiting of this.last?.waiting ?? []) {
        if (waiting.due <= now) {
          this.last?.waiting.delete(waiting)
          waiting.resume()
        }
      }
    }
  })

  /** Reads a page; answers whether more may be waiting. */
  private readonly read = Effect.gen({ self: this }, function* () {
    const { last } = this
    if (last === undefined) {
      this.last = new Place(yield* this.store.head)
      return false
    }
    const { changes, more, next } = yield* this.store.changes({ cursor: last.cursor, limit: pageSize })
    if (changes.length === 0) {
      last.cursor = next
      return more
    }
    this.last = new Place(next)
    last.page = { changes, end: next, next: this.last }
    this.keep(last)
    last.wake()
    return more
  })

  private keep(place: Place): void {
    this.kept.push(place)
    this.weight += pageWeight(place)
    while (this.weight > maxWeight && this.kept.length > 1) this.drop()
  }

  /** Drops the oldest page that is kept. Its place is cut off, so that whoever still has it does not keep what follows. */
  private drop(): void {
    const place = this.kept.shift()
    if (place === undefined) return
    this.weight -= pageWeight(place)
    place.page = undefined
    place.end = "NotKept"
  }

  /** Ends the chain: whoever is in it is told why, and the next read begins anew. */
  private forget(end: NonNullable<Place["end"]>): void {
    while (this.kept.length > 0) this.drop()
    const { last } = this
    this.last = undefined
    if (last === undefined) return
    last.end = end
    last.wake()
  }

  /** Tells the failure to all who wait. */
  private fail(error: CursorExpired | InvalidCursor | StoreUnavailable, asks: ReadonlyArray<Ask>): false {
    this.forget(error._tag === "StoreUnavailable" ? error : "Broken")
    if (error._tag === "StoreUnavailable") for (const ask of asks) ask(Effect.fail(error))
    else this.asks = [...asks, ...this.asks]
    return false
  }
}

const pageWeight = ({ page }: Place): number => (page?.changes ?? []).reduce((sum, change) => sum + weightOf(change), 0)

export const make = (store: Pick<InvoiceStore["Service"], "changes" | "head">): Effect.Effect<ChangesTail> =>
  Effect.map(Clock.Clock, (clock) => new Tail(store, clock))
