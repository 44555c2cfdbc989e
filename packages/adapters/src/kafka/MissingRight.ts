/** What somebody has to grant when the broker denies publishing. */
import { Effect } from "effect"
import type { KafkaFailure } from "./KafkaFailure.ts"
import type { Indexed } from "./Runs.ts"

/** Logs which right somebody has to grant; until then the caller publishes again. */
export const explain = (failure: KafkaFailure, records: ReadonlyArray<Indexed>): Effect.Effect<void> => {
  if (!failure.denied) return Effect.void
  const topics = [...new Set(records.map(({ message }) => message.topic))].toSorted().join(", ")
  const right =
    failure.type === "CLUSTER_AUTHORIZATION_FAILED"
      ? "IdempotentWrite on the cluster"
      : `Write on ${topics}, and Create where the topic does not exist`
  return Effect.annotateLogs(Effect.logWarning(`the broker denies publishing: grant this client ${right}`), { topics })
}
