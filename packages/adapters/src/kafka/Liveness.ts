import { type Clock, Effect, Schedule } from "effect"
import { KafkaFailure } from "./KafkaFailure.ts"

/** When a session last did what it is there for: fetched, or joined its group. */
export class Liveness {
  private readonly clock: Clock.Clock
  private seen: number

  constructor(clock: Clock.Clock) {
    this.clock = clock
    this.seen = clock.currentTimeMillisUnsafe()
  }

  sign(): void {
    this.seen = this.clock.currentTimeMillisUnsafe()
  }

  /** Fails when there was no sign for this long, in milliseconds. */
  watch(millis: number): Effect.Effect<never, KafkaFailure> {
    const look = Effect.suspend(() =>
      this.clock.currentTimeMillisUnsafe() - this.seen < millis
        ? Effect.void
        : Effect.fail(
            new KafkaFailure({ type: "STALLED", cause: new Error(`neither fetched nor joined for ${millis} ms`) })
          )
    )
    return Effect.andThen(Effect.repeat(look, Schedule.spaced("1 second")), Effect.never)
  }
}
