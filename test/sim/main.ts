/** `npm run test:sim`: docs/guides/simulation.md. */
import "./Lean.ts"
import * as Arguments from "./Arguments.ts"
import { relayMutants } from "./mutants/RelayMutants.ts"
import { consumerMutants } from "./mutants/ConsumerMutants.ts"
import { watchMutants } from "./mutants/WatchMutants.ts"
import * as Report from "./Report.ts"
import { search } from "./Search.ts"
import { consumerWorld } from "./worlds/ConsumerWorld.ts"
import { relayWorld } from "./worlds/RelayWorld.ts"
import { watchWorld } from "./worlds/WatchWorld.ts"

const print = (...lines: ReadonlyArray<string>): void => {
  process.stdout.write(`${lines.join("\n")}\n`)
}

const worlds = [relayWorld, watchWorld, consumerWorld]
const mutants = [...relayMutants, ...watchMutants, ...consumerMutants]

const args = Arguments.parse(process.argv.slice(2))
let failed = 0
if (args.mutants) {
  for (const mutant of mutants.filter(({ name }) => args.mutant === undefined || name === args.mutant)) {
    const world = worlds.find(({ name }) => name === mutant.world)
    if (world === undefined) throw new Error(`there is no world ${mutant.world}`)
    const { found, schedules, seconds } = await search(world, {
      seed: args.seed,
      schedules: 1_000_000,
      until: 60,
      alterations: mutant.alterations
    })
    if (found === undefined) failed += 1
    print(
      `${found === undefined ? "✗" : "✓"} ${mutant.name.padEnd(24)}${String(schedules).padStart(8)}${seconds.toFixed(1).padStart(8)}  ${found?.drawn.steps.length} → ${found?.shrunk.steps.length}  ${found?.outcome.violations[0]} seed ${found?.seed}`
    )
  }
} else {
  const mutant = mutants.find(({ name }) => name === args.mutant)
  for (const world of worlds.filter(({ name }) => args.world === undefined || name === args.world)) {
    print(`world ${world.name}, seed ${args.seed}`)
    const searched = await search(world, {
      ...args,
      ...(mutant === undefined ? {} : { alterations: mutant.alterations })
    })
    print(Report.rate(searched), ...Report.coverage(searched.coverage.counts))
    print(`slowest recovery: ${searched.slowest.recovery.toFixed(0)} ms (seed ${searched.slowest.seed})`)
    if (searched.found !== undefined) {
      failed += 1
      print("", ...Report.found(world.name, searched.found))
    }
  }
}
process.exitCode = failed === 0 ? 0 : 1
