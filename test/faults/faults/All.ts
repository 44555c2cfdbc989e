import * as Backlog from "./Backlog.ts"
import * as BrokerHarmed from "./BrokerHarmed.ts"
import * as ClusterHarmed from "./ClusterHarmed.ts"
import * as DatabaseHarmed from "./DatabaseHarmed.ts"
import type { Fault } from "./Fault.ts"
import * as Lanes from "./Lanes.ts"
import * as Leases from "./Leases.ts"
import * as NastyWriters from "./NastyWriters.ts"
import * as OutboxMoved from "./OutboxMoved.ts"
import * as Parked from "./Parked.ts"
import * as PostgresHarmed from "./PostgresHarmed.ts"
import * as RelayKilled from "./RelayKilled.ts"
import * as Soak from "./Soak.ts"
import * as StoreRefuses from "./StoreRefuses.ts"
import * as Validators from "./Validators.ts"
import * as Watches from "./Watches.ts"

const groups = [
  RelayKilled,
  Leases,
  DatabaseHarmed,
  BrokerHarmed,
  Parked,
  NastyWriters,
  OutboxMoved,
  Validators,
  Soak,
  ClusterHarmed,
  Backlog,
  PostgresHarmed,
  Watches,
  Lanes,
  StoreRefuses
]

/** Every fault, by number. */
export const faults: ReadonlyArray<Fault> = groups
  .flatMap(({ faults }) => faults)
  .toSorted((a, b) => a.number - b.number)
