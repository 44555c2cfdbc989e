import { type Clock, Effect, Schedule } from "effect"
import { KafkaFailure } from "./KafkaFailure.ts"

/** Remembers the time of the last sign of life. */
export class Liveness {
  private readonly clock: Clock.Clock
  private readonly missing: string
  private seen: number

  /** @param missing the failure's message without its end, *for n ms* */
  constructor(clock: Clock.Clock, missing: string) {
    this.clock = clock
    this.missing = missing
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
        : Effect.fail(new KafkaFailure({ type: "STALLED", cause: new Error(`${this.missing} for ${millis} ms`) }))
    )
    return Effect.andThen(Effect.repeat(look, Schedule.spaced("1 second")), Effect.never)
  }
}
