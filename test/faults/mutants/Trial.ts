/**
 * The losing strategies of the pipeline's design, each in the scenario of the real relay: what doesn't catch them would
 * not catch us either.
 */
import { inTheMiddleOfASend } from "../faults/RelayKilled.ts"
import type { Judgement } from "../Oracle.ts"
import type { Outcome, Scene } from "../Scene.ts"

export interface Trial {
  readonly name: string
  readonly run: (scene: Scene) => Promise<Outcome>
  /** What it has to be caught by. */
  readonly caughtBy: "lost" | "inversions"
}

export const isCaught = ({ caughtBy }: Trial, judgement: Judgement): boolean => judgement[caughtBy] > 0

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

export const trials: ReadonlyArray<Trial> = [
  { name: "id > last_id", caughtBy: "lost", run: underWriters("highestNumber", 1) },
  { name: "(xid, id) below pg_snapshot_xmin", caughtBy: "inversions", run: underWriters("transactionOrder", 1) },
  { name: "for update skip locked, 2 relays", caughtBy: "inversions", run: underWriters("skipLocked", 2, 6_000) },
  {
    name: "position before the answer",
    caughtBy: "lost",
    run: async (scene) => {
      scene.world.proxy.acknowledged = 0
      await inTheMiddleOfASend(scene, () => scene.mutant("positionFirst", { proxied: true }))
      return scene.judge({ patience })
    }
  }
]
