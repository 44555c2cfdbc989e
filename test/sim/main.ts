/** `npm run test:sim`: docs/guides/simulation.md. */
import * as Arguments from "./Arguments.ts"
import * as Report from "./Report.ts"
import { search } from "./Search.ts"
import { relayWorld } from "./worlds/RelayWorld.ts"

const print = (...lines: ReadonlyArray<string>): void => {
  process.stdout.write(`${lines.join("\n")}\n`)
}

const worlds = [relayWorld]

const args = Arguments.parse(process.argv.slice(2))
let failed = 0
for (const world of worlds.filter(({ name }) => args.world === undefined || name === args.world)) {
  print(`world ${world.name}, seed ${args.seed}`)
  const searched = await search(world, args)
  print(Report.rate(searched), ...Report.coverage(searched.coverage.counts))
  print(`slowest recovery: ${searched.slowest.recovery.toFixed(0)} ms (seed ${searched.slowest.seed})`)
  if (searched.found !== undefined) {
    failed += 1
    print("", ...Report.found(world.name, searched.found))
  }
}
process.exitCode = failed === 0 ? 0 : 1
