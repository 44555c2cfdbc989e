/** `npm run test:sim`: see docs/guides/simulation.md. */
import "./Lean.ts"
import * as Arguments from "./Arguments.ts"
import { mutantNamed, mutants } from "./mutants/All.ts"
import * as Report from "./Report.ts"
import { searchSideBySide } from "./SideBySide.ts"
import { worldNamed, worlds } from "./worlds/All.ts"

/** How long a mutant is searched for, in seconds. */
const mutantSeconds = 60
const progressMillis = 30_000
const shortSeed = 1
const shortSchedules = 5_000

const print = (...lines: ReadonlyArray<string>): void => {
  process.stdout.write(`${lines.join("\n")}\n`)
}

/** Prints now and then how far a long search is. */
const reporter = (name: string): ((schedules: number) => void) => {
  let last = performance.now()
  return (schedules) => {
    if (performance.now() - last < progressMillis) return
    last = performance.now()
    process.stderr.write(`${name}: ${schedules} schedules so far\n`)
  }
}

const args = Arguments.parse(process.argv.slice(2), Date.now())

/** Searches for every mutant, from the seed given or the one known to find it; answers how many were not found. */
const findMutants = async (seed: number | undefined): Promise<number> => {
  const { mutant, world } = args
  print(seed === undefined ? "mutants, from the seeds that are known" : `mutants, seed ${seed}`, Report.mutantHeader())
  let missed = 0
  for (const one of mutants) {
    if ((mutant !== undefined && one.name !== mutant) || (world !== undefined && one.world !== world)) continue
    const options = { seed: seed ?? one.seed, schedules: Number.MAX_SAFE_INTEGER, seconds: mutantSeconds }
    const searched = await searchSideBySide({ world: one.world, mutant: one.name, options }, 1, () => undefined)
    if (searched.found === undefined) missed += 1
    print(Report.mutantLine(one, searched))
  }
  print("")
  return missed
}

/** Searches the worlds for schedules that break the promise; answers in how many worlds there is one. */
const searchWorlds = async (seed: number, schedules: number): Promise<number> => {
  const { cores, mutant, world } = args
  const its = mutant === undefined ? worlds : [worldNamed(mutantNamed(mutant).world)]
  let failed = 0
  for (const { name } of world === undefined ? its : [worldNamed(world)]) {
    const searched = await searchSideBySide(
      { world: name, mutant, options: { seed, schedules } },
      cores,
      reporter(name)
    )
    print(`world ${name}, seed ${seed}: ${Report.rate(searched)}`, ...Report.coverage(searched.coverage))
    print(`  slowest recovery: ${searched.slowest.recovery.toFixed(0)} ms (seed ${searched.slowest.seed})`, "")
    if (searched.found !== undefined) {
      failed += 1
      const how = [`--world ${name}`, ...(mutant === undefined ? [] : [`--mutant ${mutant}`])].join(" ")
      print(...Report.found(how, searched.found), "")
    }
  }
  return failed
}

/** All mutants, and each world twice: with fixed seeds and with the seeds from `--seed` on. */
const short = async (): Promise<number> =>
  (await findMutants(undefined)) +
  (await searchWorlds(shortSeed, shortSchedules)) +
  (await searchWorlds(args.seed, shortSchedules))

const run = (): Promise<number> => {
  if (args.short) return short()
  return args.mutants ? findMutants(args.seed) : searchWorlds(args.seed, args.schedules)
}

if (args.list) {
  print(...worlds.map(({ name }) => `world ${name}`), ...mutants.map(({ name, what }) => `mutant ${name}: ${what}`))
} else {
  process.exitCode = (await run()) === 0 ? 0 : 1
}
