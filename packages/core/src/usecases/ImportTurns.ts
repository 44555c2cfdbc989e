/**
 * The turns of invoices that are imported. So many of them are at work at once as fill the store's batches, however many
 * imports there are: an invoice that somebody creates alone waits behind these, and not behind everybody's imports.
 * An import takes the next item from its source when the one before has its turn, so it holds one that waits.
 */
import { Effect, Semaphore, Stream } from "effect"

/** Runs over the items of one import, and answers the results in their order, with back-pressure from both sides. */
export type ImportTurns = <A, B, E, R, R2>(
  items: Stream.Stream<A, E, R>,
  run: (item: A) => Effect.Effect<B, never, R2>
) => Stream.Stream<B, E, R | R2>

/** Items at work at once, of all imports. */
const defaultAtWork = 64

/** Results of one import that may wait for its client. */
const maxUnread = 64

/** The turns that the imports of a process share: they take them one after the other. */
export const make = (atWork: number = defaultAtWork): ImportTurns => {
  const turns = Semaphore.makeUnsafe(atWork)
  return (items, run) =>
    Stream.suspend(() => {
      const unread = Semaphore.makeUnsafe(maxUnread)
      let held = 0
      // room for the result comes first: who reads no results would hold a turn for as long
      const begin = Effect.andThen(
        unread.take(1),
        Effect.uninterruptibleMask((restore) => Effect.map(restore(turns.take(1)), () => void held++))
      )
      const give = (count: number): Effect.Effect<void> =>
        Effect.suspend(() => {
          const given = Math.min(count, held)
          held -= given
          return turns.release(given)
        })
      return items.pipe(
        Stream.tap(() => begin),
        // `begin` bounds how many there are
        Stream.mapEffect((item) => Effect.ensuring(run(item), give(1)), { concurrency: "unbounded" }),
        Stream.tap(() => unread.release(1)),
        // an import that is broken off may have begun items that never ran
        Stream.ensuring(give(Number.POSITIVE_INFINITY))
      )
    })
}
