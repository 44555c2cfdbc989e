import type { Fault } from "./Fault.ts"

/** Transactions whose events other outboxes lose or reorder, and prepared transactions besides. */
export const faults: ReadonlyArray<Fault> = [
  {
    number: 9,
    name: "early ids, rollbacks, savepoints, prepared transactions",
    bound: 20,
    once: true,
    run: async (scene) => {
      await scene.relay()
      const writing = scene.write({ preparing: 3, restMillis: 2 })
      await writing.more(1_500)
      return scene.judge()
    }
  }
]
