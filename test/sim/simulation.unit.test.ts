/** The simulator itself: runs are repeatable, its harm matters, and mistakes are found and shrunk. */
import { assert, describe, it } from "@effect/vitest"
import { Coverage } from "./Coverage.ts"
import { mutantNamed, mutants } from "./mutants/All.ts"
import type { Schedule } from "./Schedule.ts"
import { search } from "./Search.ts"
import { worldNamed, worlds } from "./worlds/All.ts"

/** What must matter in the schedules of each world, else the world proves nothing. */
const effective = {
  relay: [
    "broker",
    "connections replaced silently",
    "crash",
    "cut",
    "deny",
    "duplicates",
    "end",
    "failover",
    "half-open",
    "ids handed out again",
    "kill",
    "lanes",
    "lose",
    "move",
    "records that are too large",
    "second",
    "stop",
    "take-overs",
    "terminate"
  ],
  watch: [
    "CursorExpired",
    "connections replaced silently",
    "crash",
    "empty",
    "failover",
    "half-open",
    "ids handed out again",
    "kill",
    "leave",
    "seen",
    "stop",
    "terminate"
  ],
  consumer: [
    "broker",
    "conflict",
    "connections replaced silently",
    "coordinator",
    "crash",
    "cut",
    "dead letters",
    "deny",
    "disk-full",
    "half-open",
    "join-fails",
    "members put out",
    "move",
    "read-only",
    "rebalances",
    "stop",
    "terminate"
  ]
} as const

const seeds = 400

/** Milliseconds, for a machine under load. */
const timeout = 120_000

const run = (world: string, schedule: Schedule) => worldNamed(world).run(schedule, {})

describe("a run", () => {
  for (const { draw, name, run } of worlds) {
    it(
      `in the world of the ${name} is the same whenever it is repeated`,
      async () => {
        for (let seed = 0; seed < 25; seed++) {
          const [first, second] = [await run(draw(seed), { account: true }), await run(draw(seed), { account: true })]
          assert.isNotEmpty(first.account)
          assert.deepEqual(first, second)
        }
      },
      timeout
    )
  }
})

describe("harm", () => {
  for (const [name, kinds] of Object.entries(effective)) {
    it(
      `makes a difference in the world of the ${name}, and breaks no promise`,
      async () => {
        const { draw, run } = worldNamed(name)
        const coverage = new Coverage()
        for (let seed = 0; seed < seeds; seed++) {
          assert.deepEqual((await run(draw(seed), { coverage })).violations, [], `seed ${seed}`)
        }
        const idle = kinds.filter((kind) => (coverage.counts.get(kind)?.mattered ?? 0) === 0)
        assert.deepEqual(idle, [])
      },
      timeout
    )
  }
})

describe("a mutant", () => {
  const quick = ["cursor-not-capped", "failed-join-passed-over", "position-before-send", "rejections-told-as-approved"]
  for (const name of quick) {
    it(
      `(${name}) is found, by a schedule that is short, that fails again, and that the real code keeps`,
      async () => {
        const { alterations, seed, world } = mutantNamed(name)
        const { found } = await search(worldNamed(world), alterations, { seed, schedules: 2_000 })
        if (found === undefined) return assert.fail("it was not found")
        const { drawn, outcome, shrunk } = found
        assert.isAtMost(shrunk.steps.length, Math.min(8, drawn.steps.length))
        assert.isNotEmpty(outcome.violations)
        assert.deepEqual(await worldNamed(world).run(shrunk, { alterations, account: true }), outcome)
        assert.deepEqual((await run(world, drawn)).violations, [])
        assert.deepEqual((await run(world, shrunk)).violations, [])
        return undefined
      },
      timeout
    )
  }

  it("is there for each fault that the simulator was made to find", () => {
    const faults = new Set(mutants.map(({ fault }) => fault))
    for (const fault of [1, 2, 3, 4, 6, 7]) assert.include(faults, fault)
  })
})

/** Bugs that the simulator has found. */
const regressions: ReadonlyArray<{ readonly what: string; readonly world: string; readonly schedule: Schedule }> = [
  {
    what: "a validator that is asked to stop while a broker goes away spins for ever",
    world: "consumer",
    schedule: {
      seed: 120,
      calm: true,
      steps: [
        { at: 110, what: "broker", with: { millis: 100 } },
        { at: 188.3, what: "end", with: { millis: 200 } }
      ]
    }
  },
  {
    what: "a try to join that fails for the metadata leaves every partition set aside",
    world: "consumer",
    schedule: {
      seed: 514_839,
      calm: true,
      steps: [
        { at: 70, what: "write", with: { name: "1", valid: true, early: 35, hold: 2 } },
        { at: 83.6, what: "write", with: { name: "4", valid: false, twice: true } },
        { at: 110, what: "move", with: { partition: 0, node: 2 } },
        { at: 115.5, what: "cut", with: { millis: 3_523 } }
      ]
    }
  }
]

describe("the mended code", () => {
  for (const { schedule, what, world } of regressions) {
    it(`keeps the promise where once ${what}`, async () => {
      assert.deepEqual((await run(world, schedule)).violations, [])
    })
  }
})
