/** Counts the harm that mattered to the programs of a world. */
import type { Coverage } from "../Coverage.ts"
import { codes } from "../kafka/Brokers.ts"
import type { Network } from "../kafka/Link.ts"
import type { Process } from "../Process.ts"
import type { Connections } from "../postgres/Connections.ts"

/** Errors of brokers, and the kind of harm that causes each. */
export const reasons: ReadonlyArray<readonly [number, string]> = [
  [codes.notLeaderForPartition, "move"],
  [codes.topicAuthorizationFailed, "deny"],
  [codes.messageTooLarge, "records that are too large"]
]

export const countProgram = (
  coverage: Coverage,
  process: Process,
  { broken, replaced, swallowed }: Connections,
  network?: Network
): void => {
  const count = (what: string, times: number): void => {
    if (times > 0) coverage.mattered(what, times)
  }
  count("terminate", broken)
  count("connections replaced silently", replaced)
  count("half-open", swallowed)
  count("stop", process.missed)
  count("cut", network?.swallowed ?? 0)
}
