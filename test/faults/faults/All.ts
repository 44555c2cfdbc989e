import type { Fault } from "./Fault.ts"
import * as NastyWriters from "./NastyWriters.ts"
import * as RelayKilled from "./RelayKilled.ts"

/** Every fault, in the order of the pipeline's design. */
export const faults: ReadonlyArray<Fault> = [RelayKilled, NastyWriters]
  .flatMap(({ faults }) => faults)
  .toSorted((a, b) => a.number - b.number)
