/** Mutants of the statements that watches use. */
import * as Meanings from "../postgres/Statements.ts"
import * as Seams from "../Seams.ts"
import type { Mutant } from "./Mutant.ts"

/** A cursor ends at the snapshot's end instead of the newest visible event. */
const uncapped =
  (meaning: Meanings.Meaning): Meanings.Meaning =>
  (session, parameters) =>
    meaning(session, parameters).map((row) => ({ ...row, newest: String(session.server.snapshot().xmax - 1) }))

const altered = (changes: Readonly<Record<string, Meanings.Meaning>>) => ({
  statements: Seams.statements(Meanings.outbox(), { ...Meanings.changes, ...changes })
})

export const watchMutants: ReadonlyArray<Mutant> = [
  {
    name: "cursor-not-capped",
    world: "watch",
    fault: 4,
    what: "a cursor ends where the snapshot ends",
    seed: 20,
    alterations: altered({ tail: uncapped(Meanings.changes.tail) })
  },
  {
    name: "head-not-capped",
    world: "watch",
    fault: 4,
    what: "a watch from now on begins where the snapshot ends",
    seed: 65,
    alterations: altered({ head: uncapped(Meanings.changes.head) })
  }
]
