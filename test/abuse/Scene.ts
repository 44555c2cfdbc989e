/** One attack on the real program, and how it is judged: by memory, by what good clients see, by what it finds itself. */
import type { Random } from "../faults/Random.ts"
import type { Sql } from "../programs/Sql.ts"
import { pause } from "../programs/Waiting.ts"
import { type Kind, kinds } from "./control/Clients.ts"
import { Findings } from "./Findings.ts"
import * as Resources from "./Resources.ts"
import { type Statistics, statistics } from "./Samples.ts"
import type { Program, Setup, World } from "./World.ts"

export interface Bounds {
  /** Most MB that the program's memory may grow while it is attacked. Default 150. */
  readonly growth?: number
  /** Most milliseconds that 99 % of the good clients wait. Default 1,000, or thrice what it was before; undefined when the scene judges by itself. */
  readonly p99?: number | undefined
  /** Least share of the good clients' requests that succeed; those for health all must. Default 0.99; undefined as above. */
  readonly success?: number | undefined
  /** Least creates a second, as a share of those before the attack. */
  readonly creates?: number
}

export interface Scene {
  readonly name: string
  /** What is promised, for the table of docs/guides/abuse.md. */
  readonly promise: string
  /** Only with `--long`. */
  readonly long?: boolean
  /** The program to attack. */
  readonly setup?: (long: boolean) => Setup
  /** Whether the program must be a new one, and is not used again. */
  readonly own?: boolean
  readonly bounds?: Bounds
  readonly load?: Load
  /** Brings the program into the state that the attack needs, before anything is measured. */
  readonly prepare?: (stage: Stage) => Promise<void>
  readonly attack: (stage: Stage) => Promise<void>
}

/** What the good clients send. */
export interface Load {
  /** Default all kinds. */
  readonly kinds?: ReadonlyArray<Kind>
  /** Milliseconds between two requests of a kind, default 100. */
  readonly everyMillis?: number
  /** Clients that create as fast as they are answered, default 0. */
  readonly eager?: number
}

export interface Outcome {
  readonly memory: { readonly before: number; readonly peak: number; readonly after: number }
  readonly baseline: Statistics
  readonly attacked: Statistics
  readonly findings: Findings
  /** Connections or streams that the service has not ended. */
  readonly stillOpen: number
  /** The share of the machine that others used meanwhile, from 0 to 1. */
  readonly others: number
}

/** What a scene works with. */
export interface Stage {
  readonly long: boolean
  readonly random: Random
  readonly program: Program
  readonly findings: Findings
  /** Aborted when the program has taken far more memory than it may: the attack then ends. */
  readonly enough: AbortSignal
  /** The program's database; throws where it is embedded. */
  readonly sql: Sql
  /** The first in the short form, the second with `--long`. */
  readonly pick: <A>(short: A, long: A) => A
  /** Waits until the condition holds, at most so many seconds, or until it is enough. Answers whether it holds. */
  readonly hold: (seconds: number, holds?: () => boolean) => Promise<boolean>
  /** Waits until the count has not risen for a second, at most so many seconds, or until it is enough. */
  readonly settled: (seconds: number, count: () => number) => Promise<void>
  /** Seconds of CPU time that the program has used. */
  readonly cpu: () => number
  /** What the good clients have seen since then, in milliseconds since the epoch. */
  readonly seen: (since: number) => Promise<Statistics>
  /** Does this when the attack has ended, however it ends. */
  readonly later: (undo: () => void) => void
}

const baselineSeconds = { short: 0.8, long: 5 }
/** What good clients saw of a program before it was attacked, by their load. A load that is judged is measured anew. */
const baselines = new WeakMap<Program, Map<string, Statistics>>()
/** MB above which an attack has proved its point. */
const limits = { short: 450, long: 3_000 }

export const needsSetup = (scene: Scene, long: boolean): Setup => scene.setup?.(long) ?? {}

const makeStage = (world: World, program: Program, enough: AbortSignal, undoing: Array<() => void>): Stage => ({
  long: world.long,
  random: world.random,
  program,
  findings: new Findings(),
  enough,
  get sql() {
    if (program.sql === undefined) throw new Error("this scene's database is embedded")
    return program.sql
  },
  pick: (short, long) => (world.long ? long : short),
  hold: async (seconds, holds = () => false) => {
    const deadline = performance.now() + seconds * 1_000
    while (!holds()) {
      if (enough.aborted || performance.now() > deadline) return false
      await pause(20)
    }
    return true
  },
  settled: async (seconds, count) => {
    const deadline = performance.now() + seconds * 1_000
    let [last, since] = [count(), performance.now()]
    while (!enough.aborted && performance.now() < Math.min(deadline, since + 1_000)) {
      await pause(50)
      if (count() > last) [last, since] = [count(), performance.now()]
    }
  },
  cpu: () => Resources.cpuSeconds(program.pid),
  seen: async (since) => {
    const now = Date.now()
    return statistics(await world.control.finished(), since, now)
  },
  later: (undo) => void undoing.push(undo)
})

const aimAt = (
  { api, grpc, known, token }: Program,
  { eager = 0, everyMillis = 100, kinds: some = kinds }: Load = {}
) => ({
  api,
  grpc,
  known,
  token,
  kinds: some,
  everyMillis,
  eager
})

const measureBaseline = async (
  { control, long }: World,
  program: Program,
  { bounds, load = {} }: Scene
): Promise<Statistics> => {
  const known = baselines.get(program) ?? new Map<string, Statistics>()
  baselines.set(program, known)
  const key = JSON.stringify(load)
  const last = known.get(key)
  if (last !== undefined && !long && bounds?.creates === undefined) return last
  const from = Date.now()
  await pause((long ? baselineSeconds.long : baselineSeconds.short) * 1_000)
  const to = Date.now()
  const measured = statistics(await control.finished(), from, to)
  known.set(key, measured)
  return measured
}

/** Serves the good clients for a while, then also the attack. */
export const play = async (world: World, scene: Scene): Promise<Outcome> => {
  const program = await world.program(needsSetup(scene, world.long), scene.own === true)
  const abort = new AbortController()
  const undoing: Array<() => void> = []
  const stage = makeStage(world, program, abort.signal, undoing)
  await scene.prepare?.(stage)
  const { control, long } = world
  control.aim(aimAt(program, scene.load))
  // the first requests open connections
  await pause(200)
  const baseline = await measureBaseline(world, program, scene)
  const begun = Date.now()
  const others = Resources.watchOthers()
  const memory = Resources.watchMemory(program.pid, long ? limits.long : limits.short, () => abort.abort())
  let stillOpen = 0
  let ended = begun
  try {
    await scene.attack(stage)
  } finally {
    ended = Date.now()
    stillOpen = stage.findings.leave()
    for (const undo of undoing) undo()
  }
  const samples = await control.finished()
  control.aim(undefined)
  memory.stop()
  if (abort.signal.aborted) stage.findings.note(`the attack was ended early, at ${Math.round(memory.peak())} MB`)
  return {
    memory: { before: memory.before, peak: memory.peak(), after: memory.now() },
    baseline,
    attacked: statistics(samples, begun, ended),
    findings: stage.findings,
    stillOpen,
    others: others()
  }
}

/** With more than this share of the machine in the hands of others, how long good clients wait says nothing. */
const busy = 0.3

/** Whether good clients can be judged by how long they waited. */
export const isTimed = ({ others }: Outcome): boolean => others <= busy

/** The bounds on what good clients have seen that an outcome breaks. */
const judgeClients = (bounds: Bounds, { attacked, baseline }: Outcome): ReadonlyArray<string> => {
  const { creates } = bounds
  // a machine with slow cores serves good clients slowly before the attack, too
  const p99 = "p99" in bounds ? bounds.p99 : Math.max(2_000, 3 * baseline.p99)
  const success = "success" in bounds ? bounds.success : 0.99
  const share = attacked.requests === 0 ? 0 : 1 - attacked.errors / attacked.requests
  const checks = [
    [
      p99 !== undefined && attacked.p99 > p99,
      `99 % of the good clients waited up to ${Math.round(attacked.p99)} ms, bound ${Math.round(p99 ?? 0)}`
    ],
    [success !== undefined && share < success, `${attacked.errors} of ${attacked.requests} good requests failed`],
    [success !== undefined && attacked.healthErrors > 0, `${attacked.healthErrors} requests for health failed`],
    [
      creates !== undefined && attacked.creates < creates * baseline.creates,
      `${attacked.creates.toFixed(0)} creates/s, before ${baseline.creates.toFixed(0)}; bound ${100 * (creates ?? 0)} %`
    ]
  ] as const
  return checks.flatMap(([isBroken, what]) => (isBroken ? [what] : []))
}

/** The bounds that an outcome breaks. */
export const judge = ({ bounds = {} }: Pick<Scene, "bounds">, outcome: Outcome): ReadonlyArray<string> => {
  const { findings, memory } = outcome
  const { growth = 150 } = bounds
  const grew = memory.peak - memory.before
  return [
    ...findings.broken,
    ...(grew > growth ? [`memory grew by ${Math.round(grew)} MB, bound ${growth}`] : []),
    ...(isTimed(outcome) ? judgeClients(bounds, outcome) : [])
  ]
}
