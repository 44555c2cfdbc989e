/**
 * Virtual time and a queue of planned events, which run one after the other. Nothing waits: time jumps to the next
 * event. Between two events all fibers and promises that the first one has started come to rest. So a run depends only
 * on the order of events, and the seed decides this order.
 */
import type { Process } from "./Process.ts"

/** An event that will run, unless it is cancelled. */
export interface Planned {
  readonly time: number
  /** Of two events at the same time, the one that was planned first runs first. */
  readonly order: number
  /** The process to which it belongs; undefined for the world. */
  readonly process: Process | undefined
  run: (() => void) | undefined
}

/** One line of the account of a run. */
export interface Happening {
  readonly time: number
  readonly who: string
  readonly what: string
  /** The state of the models at that time. */
  readonly state: string
}

const isBefore = (one: Planned, other: Planned): boolean =>
  one.time < other.time || (one.time === other.time && one.order < other.order)

const nextTick = (resolve: () => void): void => process.nextTick(resolve)

export class Engine {
  /** The virtual time in milliseconds, from 0. */
  now = 0
  /** The process whose code is running. */
  current: Process | undefined
  /** The account, when one is wanted. */
  readonly account: Array<Happening> | undefined
  /** Describes the models, for the account. */
  describe: () => string = () => ""
  /** How many events have run. */
  happened = 0
  /** A program that loops without waiting for anything, if there was one. */
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

  /** Plans an event for a time, or for now if that time is over. */
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

  /** Schedules a step of a fiber, which runs before the next event. */
  schedule(task: () => void): void {
    this.tasks.push(task)
  }

  /** Adds a line to the account, if there is one. */
  note(who: string, what: () => string): void {
    this.account?.push({ time: this.now, who, what: what(), state: this.describe() })
  }

  /** Runs until `done` answers true, or until the time `until`; answers whether it was `done`. */
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
      // an event of the world has nothing to settle, unless it has started code of a program
      if (this.current !== undefined) await this.settle()
      if (this.failure !== undefined) throw this.failure
    }
    return true
  }

  /** Runs until no fiber and no promise has anything left to do. */
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
