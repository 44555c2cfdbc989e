/**
 * Watching the changes of all invoices.
 *
 * A watch reads what is behind its start by itself, page by page and within the budget that all such watches share.
 * The last of these reads ends exactly at a place of the tail (`until`), and from there the watch follows the tail that
 * all share. When it falls behind the pages that the tail keeps, it reads by itself again, from its own cursor. So no
 * step compares changes, and none is lost or repeated.
 */
import { Clock, Effect, Fiber, Option, type Scope, Stream } from "effect"
import type { CursorExpired, InvalidCursor, StoreUnavailable } from "../domain/InvoiceError.ts"
import type { Change, ChangesPage, InvoiceStore } from "../ports/InvoiceStore.ts"
import * as CatchUpReads from "./CatchUpReads.ts"
import * as ChangesTail from "./ChangesTail.ts"

/** Where a watch begins: with what happens from now on, with the oldest change that is kept, or behind a cursor. */
export type WatchStart = "now" | "beginning" | { readonly cursor: string }

/** A change; or none, as a sign of life that carries a newer cursor. A watch without changes begins with one. */
export interface Watched {
  readonly change: Option.Option<Change>
  /** Resumes the watch right behind this element. */
  readonly cursor: string
}

export type WatchError = InvalidCursor | CursorExpired | StoreUnavailable

/** A sign of life comes at least every 15 seconds: the tail's clock adds up to one. */
const signOfLifeMillis = 14_000
/** How long a watch asks for a place in the tail, which may be behind, before it goes on without. */
const placeMillis = 10_000
/** How old a head that several watches share may be. */
const headMillis = 50
/** How long a watch on a store that can't end a page at a place waits when it has seen everything. */
const idleMillis = 100
/** What is handed out at once may weigh this much, so that a client that does not read holds little. */
const sliceWeight = 64
/** A watch that is not asked for this long gives its page back, and reads again from its cursor when it is asked. */
const stallMillis = 2_000
/** How many changes a watch reads after that at first; the number doubles with each page that is taken in time. */
const smallPage = 16

/** A page in the watch's hands. */
interface Held {
  readonly changes: ReadonlyArray<Change>
  /** The cursor behind the page. */
  readonly end: string
  /** The place behind the page, when the tail goes on there. */
  readonly place: ChangesTail.Place | undefined
  /** How many changes are handed out. */
  count: number
}

/** What a read by a watch itself came to. */
interface Read {
  readonly page: ChangesPage
  readonly target: ChangesTail.Place | undefined
  readonly isThere: boolean
}

interface Shared {
  readonly store: Pick<InvoiceStore["Service"], "changes" | "head">
  readonly clock: Clock.Clock
  readonly tail: ChangesTail.ChangesTail
  readonly reads: CatchUpReads.CatchUpReads
}

class Watch {
  private readonly shared: Shared
  private readonly scope: Scope.Scope
  /** Behind the last element that was handed out; undefined: before the oldest change that is kept. */
  private cursor: string | undefined
  /** Where it is in the tail; undefined while it reads by itself. */
  private place: ChangesTail.Place | undefined
  /** The place that its own reads shall end at. */
  private target: ChangesTail.Place | undefined
  private held: Held | undefined
  private reading: Fiber.Fiber<Read, WatchError> | undefined
  private limit = ChangesTail.pageSize
  private isSilent = true
  private lastSign: number
  private isAsked = false
  private lastAsked: number

  constructor(shared: Shared, scope: Scope.Scope, start: ChangesTail.Place | string | undefined) {
    this.shared = shared
    this.scope = scope
    this.place = typeof start === "object" ? start : undefined
    this.cursor = typeof start === "object" ? start.cursor : start
    this.lastSign = this.now
    this.lastAsked = this.now
  }

  private get now(): number {
    return this.shared.clock.currentTimeMillisUnsafe()
  }

  /** The next elements, at least one. */
  readonly next: Effect.Effect<ReadonlyArray<Watched>, WatchError> = Effect.gen({ self: this }, function* () {
    this.isAsked = true
    let elements: ReadonlyArray<Watched> = []
    while (elements.length === 0) {
      elements =
        this.held !== undefined
          ? this.handOut(this.held)
          : this.place !== undefined
            ? yield* this.follow(this.place)
            : yield* this.catchUp
    }
    this.isSilent = false
    this.lastSign = this.now
    this.lastAsked = this.lastSign
    this.isAsked = false
    return elements
  })

  /** Gives its page back if nobody has asked for long. */
  rest(): void {
    if (this.isAsked || this.held === undefined || this.now - this.lastAsked < stallMillis) return
    this.held = undefined
    this.place = undefined
    this.target = undefined
    this.limit = smallPage
  }

  private handOut(held: Held): ReadonlyArray<Watched> {
    const { changes, end, place } = held
    const elements: Array<Watched> = []
    for (let weight = 0; held.count < changes.length && weight < sliceWeight; held.count++) {
      const change = changes[held.count]
      if (change === undefined) break
      weight += ChangesTail.weightOf(change)
      elements.push({ change: Option.some(change), cursor: held.count + 1 < changes.length ? change.cursor : end })
    }
    this.cursor = elements.at(-1)?.cursor ?? end
    if (held.count >= changes.length) {
      this.held = undefined
      this.place = place
      this.limit = Math.min(2 * this.limit, ChangesTail.pageSize)
    }
    return elements
  }

  private sign(cursor: string): ReadonlyArray<Watched> {
    this.cursor = cursor
    return [{ change: Option.none(), cursor }]
  }

  /** Takes what comes at its place in the tail. */
  private follow(place: ChangesTail.Place): Effect.Effect<ReadonlyArray<Watched>, WatchError> {
    const { end, page } = place
    if (page !== undefined) {
      this.held = { changes: page.changes, end: page.end, place: page.next, count: 0 }
      return Effect.succeed([])
    }
    if (end === "NotKept" || end === "Broken") {
      this.place = undefined
      return Effect.succeed([])
    }
    if (end !== undefined) return Effect.fail(end)
    const due = this.isSilent ? 0 : this.lastSign + signOfLifeMillis
    return due <= this.now ? Effect.succeed(this.sign(place.cursor)) : Effect.as(this.shared.tail.wait(place, due), [])
  }

  /** Reads a page by itself; a sign of life comes in between when that takes long. */
  private readonly catchUp: Effect.Effect<ReadonlyArray<Watched>, WatchError> = Effect.gen(
    { self: this },
    function* () {
      this.reading ??= yield* Effect.forkIn(this.read, this.scope)
      const due = this.lastSign + signOfLifeMillis
      const read = yield* Effect.timeoutOption(Fiber.join(this.reading), `${Math.max(1, due - this.now)} millis`)
      if (Option.isNone(read)) {
        this.lastSign = this.now
        return this.cursor === undefined ? [] : this.sign(this.cursor)
      }
      this.reading = undefined
      const { isThere, page, target } = read.value
      const { changes, more, next } = page
      // without a place the read may have ended anywhere: a store that can't end at one is asked again after a while
      this.target = isThere || !more ? undefined : target
      const place = isThere ? target : undefined
      if (changes.length > 0) {
        this.held = { changes, end: next, place, count: 0 }
      } else {
        this.cursor = next
        this.place = place
        if (place === undefined && !more) yield* Effect.sleep(`${idleMillis} millis`)
      }
      return []
    }
  )

  private readonly read: Effect.Effect<Read, WatchError> = Effect.gen({ self: this }, function* () {
    const { reads, store, tail } = this.shared
    const { cursor, limit } = this
    const known = this.target?.end === undefined ? this.target : undefined
    const target = known ?? Option.getOrUndefined(yield* Effect.timeoutOption(tail.place, `${placeMillis} millis`))
    if (target !== undefined && target.cursor === cursor) {
      return { page: { changes: [], next: cursor, more: false }, target, isThere: true }
    }
    const until = target?.cursor
    const page = yield* reads(store.changes({ cursor, limit, until }))
    return { page, target, isThere: page.next === until }
  })
}

/** How often watches are looked at that nobody asks. */
const sweepMillis = 1_000

/** What all watches share, at work while there is one. */
class Watches {
  readonly shared: Shared
  private readonly fork: (effect: Effect.Effect<never>) => Fiber.Fiber<never>
  private readonly watches = new Set<Watch>()
  private count = 0
  private work: Fiber.Fiber<never> | undefined

  constructor(shared: Shared, fork: (effect: Effect.Effect<never>) => Fiber.Fiber<never>) {
    this.shared = shared
    this.fork = fork
  }

  /** Counts a watch while its scope lasts. */
  readonly enter: Effect.Effect<void, never, Scope.Scope> = Effect.suspend(() =>
    Effect.acquireRelease(
      Effect.sync(() => {
        this.count++
        this.work ??= this.fork(Effect.raceFirst(this.shared.tail.run, this.sweep))
      }),
      () =>
        Effect.sync(() => {
          this.count--
          if (this.count > 0) return
          this.work?.interruptUnsafe()
          this.work = undefined
        })
    )
  )

  readonly make = (start: ChangesTail.Place | string | undefined): Effect.Effect<Watch, never, Scope.Scope> =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const watch = new Watch(this.shared, scope, start)
          this.watches.add(watch)
          return watch
        }),
        (watch) => Effect.sync(() => this.watches.delete(watch))
      )
    )

  private readonly sweep: Effect.Effect<never> = Effect.suspend(() =>
    Effect.forever(
      Effect.map(Effect.sleep(`${sweepMillis} millis`), () => {
        for (const watch of this.watches) watch.rest()
      })
    )
  )
}

/** Makes the function that begins a watch. */
export const make = (
  store: Pick<InvoiceStore["Service"], "changes" | "head">
): Effect.Effect<(start: WatchStart) => Stream.Stream<Watched, WatchError>> =>
  Effect.gen(function* () {
    const shared: Shared = {
      store,
      clock: yield* Clock.Clock,
      tail: yield* ChangesTail.make(store),
      reads: yield* CatchUpReads.make
    }
    // not in a watch's own context: its work goes on for the others
    const watches = new Watches(shared, Effect.runForkWith(yield* Effect.context<never>()))
    const head = yield* Effect.cachedWithTTL(store.head, headMillis)
    const placeNow = Effect.timeoutOption(shared.tail.place, `${placeMillis} millis`)
    const from = Effect.fnUntraced(function* (start: WatchStart) {
      if (start !== "now") return start === "beginning" ? undefined : start.cursor
      const place = yield* placeNow
      return Option.isSome(place) ? place.value : yield* head
    })
    return (start) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* watches.enter
          const watch = yield* watches.make(yield* from(start))
          return Stream.paginate(undefined, () =>
            Effect.map(watch.next, (elements) => [elements, Option.some(undefined)] as const)
          )
        })
      )
  })
