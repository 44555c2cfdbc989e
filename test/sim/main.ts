/** `npm run test:sim`: see docs/guides/simulation.md. */
import "./Lean.ts"
import * as Arguments from "./Arguments.ts"
import { mutantNamed, mutants } from "./mutants/All.ts"
import * as Report from "./Report.ts"
import { searchSideBySide } from "./SideBySide.ts"
import { worldNamed, worlds } from "./worlds/All.ts"

/** A mutant is found within a minute, or not at all. */
const mutantSeconds = 60
const progressMillis = 30_000

const print = (...lines: ReadonlyArray<string>): void => {
  process.stdout.write(`${lines.join("\n")}\n`)
}

/** Says now and then how far a long search is. */
const reporter = (name: string): ((schedules: number) => void) => {
  let last = performance.now()
  return (schedules) => {
    if (performance.now() - last < progressMillis) return
    last = performance.now()
    process.stderr.write(`${name}: ${schedules} schedules so far\n`)
  }
}

const {
  cores,
  known,
  list,
  mutant,
  mutants: all,
  schedules,
  seed,
  world
} = Arguments.parse(process.argv.slice(2), Date.now())

/** Every mutant must be found. */
const findMutants = async (): Promise<number> => {
  print(known ? "mutants, with the seeds that are known to find them" : `mutants, seed ${seed}`, Report.mutantHeader())
  let missed = 0
  for (const one of mutants) {
    if ((mutant !== undefined && one.name !== mutant) || (world !== undefined && one.world !== world)) continue
    const options = known
      ? { seed: one.seed, schedules: 1 }
      : { seed, schedules: Number.MAX_SAFE_INTEGER, seconds: mutantSeconds }
    const searched = await searchSideBySide({ world: one.world, mutant: one.name, options }, 1, () => undefined)
    if (searched.found === undefined) missed += 1
    print(Report.mutantLine(one, searched))
  }
  return missed
}

/** No schedule of any world may break the promise. */
const searchWorlds = async (): Promise<number> => {
  let failed = 0
  const its = mutant === undefined ? worlds : [worldNamed(mutantNamed(mutant).world)]
  for (const { name } of world === undefined ? its : [worldNamed(world)]) {
    const options = { seed, schedules }
    const searched = await searchSideBySide({ world: name, mutant, options }, cores, reporter(name))
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

if (list) {
  print(...worlds.map(({ name }) => `world ${name}`), ...mutants.map((one) => `mutant ${one.name}: ${one.what}`))
} else {
  process.exitCode = (await (all ? findMutants() : searchWorlds())) === 0 ? 0 : 1
}
