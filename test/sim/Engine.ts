/**
 * Virtual time and everything that happens in it, one thing after the other. Nothing here waits: time goes straight to the
 * next event. Between two events all that the first has set going (fibers, promises) comes to rest, so that the order of
 * events is all there is to decide, and the seed decides it.
 */
import type { Process } from "./Process.ts"

/** Something that will happen, unless it is cancelled. */
export interface Planned {
  readonly time: number
  /** Of two at the same time the one that was planned first comes first. */
  readonly order: number
  /** To whom it happens; none for the world. */
  readonly process: Process | undefined
  run: (() => void) | undefined
}

/** One line of the account of a run. */
export interface Happening {
  readonly time: number
  readonly who: string
  readonly what: string
  /** Where the model stood then. */
  readonly state: string
}

const isBefore = (one: Planned, other: Planned): boolean =>
  one.time < other.time || (one.time === other.time && one.order < other.order)

const nextTick = (resolve: () => void): void => process.nextTick(resolve)

export class Engine {
  /** In milliseconds, from 0. */
  now = 0
  /** Whose code is running. */
  current: Process | undefined
  /** The account, when somebody wants one. */
  readonly account: Array<Happening> | undefined
  /** Describes the models, for the account. */
  describe: () => string = () => ""
  /** How many things have happened. */
  happened = 0
  /** A program that did nothing but wait for nothing, if there was one. */
  spinning: Process | undefined
  /** The first thing that went wrong in the harness itself. */
  failure: unknown
  private readonly heap: Array<Planned> = []
  private order = 0
  private readonly tasks: Array<() => void> = []

  /** Whether everything takes the same time. */
  readonly isCalm: boolean

  constructor(options: { readonly account?: boolean | undefined; readonly calm?: boolean } = {}) {
    this.account = options.account === true ? [] : undefined
    this.isCalm = options.calm === true
  }

  /** Plans something for a time, or for now if that is over. */
  at(time: number, process: Process | undefined, run: () => void): Planned {
    const planned: Planned = { time: Math.max(time, this.now), order: this.order++, process, run }
    const { heap } = this
    let index = heap.length
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = heap[above] as Planned
      if (!isBefore(planned, parent)) break
      heap[index] = parent
      index = above
    }
    heap[index] = planned
    return planned
  }

  after(millis: number, process: Process | undefined, run: () => void): Planned {
    return this.at(this.now + millis, process, run)
  }

  cancel(planned: Planned): void {
    planned.run = undefined
  }

  /** A step of a fiber, to be run before anything else happens. */
  schedule(task: () => void): void {
    this.tasks.push(task)
  }

  /** Adds a line to the account, if there is one. */
  note(who: string, what: () => string): void {
    this.account?.push({ time: this.now, who, what: what(), state: this.describe() })
  }

  /** Runs until the time given, or until `done` says so; answers whether it did. */
  async run(until: number, done: () => boolean): Promise<boolean> {
    await this.settle()
    while (!done()) {
      const next = this.heap[0]
      if (next === undefined || next.time > until) {
        this.now = Math.max(this.now, until)
        return false
      }
      this.pop()
      const { process, run } = next
      if (run === undefined) continue
      this.now = next.time
      this.happened += 1
      if (process !== undefined && !process.isRunning) {
        process.hold(next)
        continue
      }
      this.current = process
      run()
      // what the world does by itself leaves nothing to wait for
      if (this.current !== undefined) await this.settle()
      if (this.failure !== undefined) throw this.failure
    }
    return true
  }

  /** Until no fiber and no promise has anything left to do. */
  private async settle(): Promise<void> {
    do {
      this.drain()
      // runs when all promises have come to rest
      await new Promise<void>(nextTick)
    } while (this.tasks.length > 0)
    this.current = undefined
  }

  private drain(): void {
    const { tasks } = this
    for (let index = 0; index < tasks.length; index++) tasks[index]?.()
    tasks.length = 0
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let least = 2 * index + 1
      if (least >= heap.length) break
      if (least + 1 < heap.length && isBefore(heap[least + 1] as Planned, heap[least] as Planned)) least += 1
      const child = heap[least] as Planned
      if (!isBefore(child, last)) break
      heap[index] = child
      index = least
    }
    heap[index] = last
  }
}
