/** How fast the sender of an import may go on. */
import { Context, Effect, Stream } from "effect"

/**
 * Waits until the sender may create one more invoice. A server that limits rates provides it around the handling of a
 * request; undefined when there is no limit.
 */
export const Allowance = Context.Reference<Effect.Effect<void> | undefined>("@invoice/core/Allowance", {
  defaultValue: () => undefined
})

/** Takes elements only as fast as the sender is allowed, one after the other: what is behind the stream waits as well. */
export const paced = <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  Stream.unwrap(
    Effect.map(Allowance, (allowance) => (allowance === undefined ? stream : Stream.tap(stream, () => allowance)))
  )
