import { until } from "../../programs/Waiting.ts"
import * as Ledger from "../Ledger.ts"
import { LogReader } from "../LogReader.ts"
import type { Scene } from "../Scene.ts"
import { allowLarge, createTopic, deleteTopics } from "../Topic.ts"
import type { Fault } from "./Fault.ts"
import { replay } from "./Parked.ts"

/** A window of many pages, and writers whose transactions commit after its end with numbers within it. */
export const underLateWriters: Fault = {
  number: 30,
  name: "a backlog in small pages, under writers that commit late",
  long: true,
  bound: 60,
  once: true,
  run: async (scene) => {
    await scene.sql.query("select faults_backlog($1, 2000::int8, 40, true)", [scene.topic])
    const writing = scene.write({ restMillis: 1 })
    await writing.more(400)
    await scene.relay({ env: { RELAY_PAGE: "4" } })
    await writing.more(800)
    return scene.judge()
  }
}

const events = 1_000
const refusedKeys = Array.from({ length: events / 10 }, (_, index) => `alone-${index * 10}`)
const mostSeconds = 3

/** Writes events, each of its own key; every tenth is too large for the topic. */
const writeRefused = async (scene: Scene): Promise<void> => {
  await scene.sql.query(
    "insert into faults_aggregate (key) select 'alone-' || i from generate_series(0, $1::int4 - 1) i",
    [events]
  )
  await scene.sql.query(
    `select faults_event($1, 'alone-' || i, case when i % 10 = 0 then 60000 else 10 end)
    from generate_series(0, $2::int4 - 1) i order by i`,
    [scene.topic, events]
  )
}

/** The time from the relay's first record to the record of this event, in seconds. */
const heldUp = async (scene: Scene, topic: string, id: string): Promise<number> => {
  const reader = await LogReader.open(scene.world.kafka.brokers, [scene.topic, topic])
  try {
    await until("the other topic's event is there", () => reader.has(id))
    const records = await reader.toTheEnd()
    const [first = 0] = records.map(({ at }) => at).toSorted((a, b) => a - b)
    return ((records.find((record) => record.id === id)?.at ?? 0) - first) / 1_000
  } finally {
    await reader.close()
  }
}

/** Many refusals in one page must neither lose other records nor hold up another topic. */
const manyRefused: Fault = {
  number: 29,
  name: "every tenth record of a page too large",
  topic: { "max.message.bytes": "20000" },
  bound: 60,
  run: async (scene) => {
    const { brokers } = scene.world.kafka
    const other = `${scene.topic}_other`
    await createTopic(brokers, other, {})
    try {
      await writeRefused(scene)
      await scene.sql.query("select faults_event($1, 'key-1', 10)", [other])
      const [last] = await Ledger.committed(scene.sql).then((all) => all.filter(({ topic }) => topic === other))
      await scene.relay()
      const seconds = await heldUp(scene, other, last?.id ?? "")
      await until("all that are refused are parked", async () => {
        const [row] = await scene.sql.query("select count(*)::int as count from outbox_parked_key")
        return row?.["count"] === refusedKeys.length
      })
      await allowLarge(brokers, scene.topic, 200_000)
      await replay(scene, ...refusedKeys)
      const outcome = await scene.judge({ topics: [scene.topic, other] })
      const most = outcome.most ?? 0
      scene.notes.push(
        `the other topic was held up for ${seconds.toFixed(1)} s; no record came more than ${most} times`
      )
      return {
        ...outcome,
        broken: [
          ...outcome.broken,
          ...(seconds > mostSeconds ? [`the other topic was held up for longer than ${mostSeconds} s`] : []),
          ...(most > 2 ? [`a record came ${most} times`] : [])
        ]
      }
    } finally {
      await deleteTopics(brokers, [other]).catch(() => {})
    }
  }
}

export const faults: ReadonlyArray<Fault> = [underLateWriters, manyRefused]
