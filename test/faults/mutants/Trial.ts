/**
 * What is known to be wrong, each in a scenario of the real relay: what doesn't catch it would not catch us either. The
 * losing strategies of the pipeline's design as relays of their own, and the real programs with one part replaced.
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
  "altered records": ({ judgement }) => (judgement.altered ?? 0) > 0,
  "wrong verdicts": ({ wrong = 0 }) => wrong > 0
} as const satisfies Record<string, (outcome: Outcome) => boolean>

export interface Trial {
  readonly name: string
  readonly topic?: Fault["topic"]
  readonly run: (scene: Scene) => Promise<Outcome>
  /** What it has to be caught by. */
  readonly caughtBy: keyof typeof caught
}

export const isCaught = ({ caughtBy }: Trial, outcome: Outcome): boolean => caught[caughtBy](outcome)

/** Nothing more comes from a mutant that has lost something. */
const patience = 3

/** @param transactions so many that a mutant which fails rarely fails all the same */
const underWriters =
  (mutant: string, relays: number, transactions = 1_200) =>
  async (scene: Scene): Promise<Outcome> => {
    for (let relay = 0; relay < relays; relay++) await scene.mutant(mutant)
    const writing = scene.write({ restMillis: 2 })
    await writing.more(transactions)
    return scene.judge({ patience })
  }

/** The real programs, with a patch, in a scene that the real ones pass. */
const patched =
  (patch: Name, run: (scene: Scene) => Promise<Outcome>) =>
  (scene: Scene): Promise<Outcome> => {
    scene.patch = patch
    scene.patience = patience
    return run(scene)
  }

export const trials: ReadonlyArray<Trial> = [
  { name: "id > last_id", caughtBy: "loss", run: underWriters("highestNumber", 1) },
  { name: "(xid, id) below pg_snapshot_xmin", caughtBy: "disorder", run: underWriters("transactionOrder", 1) },
  { name: "for update skip locked, 2 relays", caughtBy: "disorder", run: underWriters("skipLocked", 2, 6_000) },
  {
    name: "position before the answer",
    caughtBy: "loss",
    run: async (scene) => {
      scene.world.proxy.acknowledged = 0
      await inTheMiddleOfASend(scene, () => scene.mutant("positionFirst", { proxied: true }))
      return scene.judge({ patience })
    }
  },
  {
    name: "ours, position set before the send",
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
    caughtBy: "disorder",
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
