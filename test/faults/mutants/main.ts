/** Runs one mutant until it is killed: `main.ts NAME DATABASE_URL KAFKA_BROKERS`. */
import { Partitioners } from "kafkajs"
import { connect } from "../../programs/Sql.ts"
import { pause } from "../../programs/Waiting.ts"
import { client } from "../LogReader.ts"
import { highestNumber } from "./HighestNumber.ts"
import type { Mutant } from "./Mutant.ts"
import { positionFirst } from "./PositionFirst.ts"
import { skipLocked } from "./SkipLocked.ts"
import { transactionOrder } from "./TransactionOrder.ts"

const mutants: Readonly<Record<string, Mutant>> = { highestNumber, transactionOrder, skipLocked, positionFirst }

const [name = "", url = "", brokers = ""] = process.argv.slice(2)
const mutant = mutants[name]
if (mutant === undefined) throw new Error(`there is no mutant ${name}`)
const producer = client(brokers).producer({
  idempotent: true,
  maxInFlightRequests: 1,
  createPartitioner: Partitioners.JavaCompatiblePartitioner
})
await producer.connect()
const round = await mutant({ sql: connect(url, 2, "faults-mutant"), producer })
process.stdout.write("invoice ready: mutant\n")
for (;;) {
  if ((await round()) === 0) await pause(5)
}
