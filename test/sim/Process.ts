/** A program in the simulation: its fibers, clock and random numbers. It can be stopped, continued and killed. */
import { OutboxSignal } from "@invoice/core"
import {
  Clock,
  Context,
  Duration,
  Effect,
  Random as EffectRandom,
  type Fiber,
  Logger,
  References,
  Scheduler
} from "effect"
import type { TestClock } from "effect/testing"
import type { Random } from "../faults/Random.ts"
import type { Engine, Planned } from "./Engine.ts"

const nanosPerMilli = 1_000_000

/**
 * The clock of one program, with the interface of Effect's `TestClock`. It is not `TestClock` itself, which wakes
 * overdue sleepers one after the other, each at the time that it asked for. When a program that was stopped (SIGSTOP)
 * continues, all of its timers are due at once, and its clock is far ahead.
 */
class ProcessClock implements TestClock.TestClock {
  readonly currentTimeMillis: Effect.Effect<number>
  readonly currentTimeNanos: Effect.Effect<bigint>
  readonly monotonicTimeNanos: Effect.Effect<bigint>
  private readonly engine: Engine
  private readonly process: Process

  constructor(engine: Engine, process: Process) {
    this.engine = engine
    this.process = process
    this.currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
    this.currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
    this.monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  }

  currentTimeMillisUnsafe(): number {
    return this.engine.now + this.process.clockOffset
  }

  currentTimeNanosUnsafe(): bigint {
    return this.monotonicTimeNanosUnsafe()
  }

  monotonicTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.engine.now * nanosPerMilli))
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const { engine, process } = this
    const millis = Duration.toMillis(duration)
    return Effect.callback((resume) => {
      if (!Number.isFinite(millis)) return undefined
      const planned = engine.after(millis, process, () => resume(Effect.void))
      return Effect.sync(() => engine.cancel(planned))
    })
  }

  /** Fails: only the engine moves the time. */
  adjust(): Effect.Effect<void> {
    return Effect.die(new Error("the engine moves the time"))
  }

  setTime(): Effect.Effect<void> {
    return this.adjust()
  }

  withLive<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return effect
  }
}

/** Passes fibers' steps to the engine, which runs them. */
const schedulerOf = (engine: Engine): Scheduler.Scheduler => {
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task) => engine.schedule(task),
    flush: () => undefined
  }
  return {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= 2_048,
    makeDispatcher: () => dispatcher
  }
}

export class Process {
  readonly name: string
  readonly engine: Engine
  readonly random: Random
  readonly context: Context.Context<never>
  /** How far its time of day is ahead of the world's, in milliseconds. */
  clockOffset = 0
  /** How many of its events came due while it was stopped. */
  missed = 0
  private state: "running" | "stopped" | "dead" = "running"
  private readonly held: Array<Planned> = []

  constructor(engine: Engine, name: string, random: Random) {
    this.engine = engine
    this.name = name
    this.random = random
    this.context = Context.make(Scheduler.Scheduler, schedulerOf(engine)).pipe(
      Context.add(Clock.Clock, new ProcessClock(engine, this)),
      Context.add(EffectRandom.Random, {
        nextDoubleUnsafe: () => random.next(),
        nextIntUnsafe: () => Math.floor(random.next() * Number.MAX_SAFE_INTEGER)
      }),
      // each process has a signal of its own; the default one would keep the waiters of earlier runs
      Context.add(OutboxSignal.OutboxSignal, OutboxSignal.make()),
      Context.add(References.MinimumLogLevel, engine.account === undefined ? "None" : "Info"),
      Context.add(Logger.CurrentLoggers, new Set([accountant(this)]))
    )
  }

  get isRunning(): boolean {
    return this.state === "running"
  }

  get isDead(): boolean {
    return this.state === "dead"
  }

  /** Runs an effect as this program. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    this.engine.current = this
    return Effect.runForkWith(this.context)(effect)
  }

  /** SIGSTOP. */
  stop(): void {
    if (this.state === "running") this.state = "stopped"
  }

  /** SIGCONT: the events that came due meanwhile run now. */
  goOn(): void {
    if (this.state !== "stopped") return
    this.state = "running"
    for (const planned of this.held.splice(0)) {
      this.engine.at(this.engine.now, this, () => planned.run?.())
    }
  }

  /** SIGKILL: none of its events runs any more. */
  kill(): void {
    this.state = "dead"
    this.held.length = 0
  }

  /** Keeps an event that comes due while the process is stopped. */
  hold(planned: Planned): void {
    if (this.state !== "stopped") return
    this.missed += 1
    this.held.push(planned)
  }
}

const textOf = (message: unknown): string =>
  Array.isArray(message) ? message.map(textOf).join(" ") : message instanceof Error ? message.message : String(message)

/** What a program logs goes to the account. */
const accountant = (process: Process): Logger.Logger<unknown, void> =>
  Logger.make(({ logLevel, message }) => {
    process.engine.note(process.name, () => `${logLevel.toLowerCase()}: ${textOf(message)}`)
  })
