/**
 * A Kafka to develop against: prints the line to export, and stops on SIGINT or SIGTERM.
 *
 * `node --conditions=source test/infra/kafka/main.ts [1|3]`
 */
import { startKafka } from "./index.ts"

const kafka = await startKafka({ brokers: process.argv[2] === "3" ? 3 : 1 })
process.stdout.write(`KAFKA_BROKERS=${kafka.brokers}\n`)

// nothing else keeps this process alive when its brokers run in a container
const alive = setInterval(() => {}, 60_000)

let stopping = false
const stop = async () => {
  // a signal may come twice: once to the process and once to its group
  if (stopping) return
  stopping = true
  clearInterval(alive)
  await kafka.stop()
}
process.on("SIGINT", stop)
process.on("SIGTERM", stop)
