/**
 * Mutants that are known to be wrong, each in a scene of the real relay: a suite that doesn't catch them would not
 * catch our own mistakes either. They are relays with wrong strategies, and the real programs with one part replaced.
 */
import * as Backlog from "../faults/Backlog.ts"
import type { Fault } from "../faults/Fault.ts"
import { tooLarge } from "../faults/Parked.ts"
import { inTheMiddleOfASend, stoppedWhileSending } from "../faults/RelayKilled.ts"
import { unharmed } from "../faults/Validators.ts"
import type { Outcome, Scene } from "../Scene.ts"
import type { Name } from "./Patch.ts"

const caught = {
  loss: ({ judgement }) => judgement.lost > 0,
  disorder: ({ judgement }) => judgement.inversions > 0,
  // used in a scene where the real programs send no duplicates
  duplicates: ({ judgement }) => judgement.duplicates > 0,
  "altered records": ({ judgement }) => (judgement.altered ?? 0) > 0,
  "wrong verdicts": ({ wrong = 0 }) => wrong > 0
} as const satisfies Record<string, (outcome: Outcome) => boolean>

export interface Trial {
  readonly name: string
  /** Only with `--long`. */
  readonly long?: boolean
  readonly topic?: Fault["topic"]
  readonly run: (scene: Scene) => Promise<Outcome>
  /** What it has to be caught by. */
  readonly caughtBy: keyof typeof caught
}

export const isCaught = ({ caughtBy }: Trial, outcome: Outcome): boolean => caught[caughtBy](outcome)

/** A mutant that has lost an event never sends it, so a short wait is enough. */
const quietSeconds = 3

/** @param transactions enough of them that a mutant which fails rarely does fail */
const underWriters =
  (mutant: string, relays: number, transactions = 1_200) =>
  async (scene: Scene): Promise<Outcome> => {
    for (let relay = 0; relay < relays; relay++) await scene.mutant(mutant)
    const writing = scene.write({ restMillis: 2 })
    await writing.more(transactions)
    return scene.judge({ quietSeconds })
  }

/** Runs the patched programs in a scene that the real ones pass. */
const patched =
  (patch: Name, run: (scene: Scene) => Promise<Outcome>) =>
  (scene: Scene): Promise<Outcome> => {
    scene.patch = patch
    scene.quietSeconds = quietSeconds
    return run(scene)
  }

export const trials: ReadonlyArray<Trial> = [
  { name: "id > last_id", caughtBy: "loss", run: underWriters("highestNumber", 1) },
  { name: "(xid, id) below pg_snapshot_xmin", caughtBy: "disorder", run: underWriters("transactionOrder", 1) },
  {
    name: "for update skip locked, 2 relays",
    long: true,
    caughtBy: "disorder",
    run: underWriters("skipLocked", 2, 6_000)
  },
  {
    name: "position before the answer",
    caughtBy: "loss",
    run: async (scene) => {
      scene.world.proxy.acknowledged = 0
      await inTheMiddleOfASend(scene, () => scene.mutant("positionFirst", { proxied: true }))
      return scene.judge({ quietSeconds })
    }
  },
  {
    name: "ours, position set before the send",
    long: true,
    caughtBy: "loss",
    run: patched("positionBeforeSend", stoppedWhileSending.run)
  },
  {
    name: "ours, one partition's records not sent",
    caughtBy: "loss",
    run: patched("partitionDropped", async (scene) => {
      await scene.relay()
      await scene.write({ restMillis: 2 }).more(300)
      return scene.judge()
    })
  },
  {
    name: "ours, pages of a window look beyond its end",
    long: true,
    caughtBy: "duplicates",
    run: patched("restUnbounded", Backlog.underLateWriters.run)
  },
  {
    name: "ours, parked keys unknown at take-over",
    topic: tooLarge.topic ?? {},
    caughtBy: "loss",
    run: patched("parkedForgotten", tooLarge.run)
  },
  {
    name: "ours, rejections published as approved",
    topic: "left to the product",
    caughtBy: "altered records",
    run: patched("rejectionsAsApprovals", unharmed.run)
  },
  {
    name: "ours, a validator that approves all",
    topic: "left to the product",
    caughtBy: "wrong verdicts",
    run: patched("allApproved", unharmed.run)
  }
]
