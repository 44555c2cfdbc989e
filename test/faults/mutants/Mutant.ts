/** A relay with a wrong strategy, which runs as its own process. */
import type { Producer } from "kafkajs"
import type { Row, Sql } from "../../programs/Sql.ts"

export interface Setting {
  readonly sql: Sql
  readonly producer: Producer
}

/** One round: reads events, sends them, stores the position. Answers how many events it sent. */
export type Round = () => Promise<number>

export type Mutant = (setting: Setting) => Promise<Round>

export const columns = "seq::text as number, id::text as id, topic, key, convert_from(payload, 'UTF8') as payload"

/** Sends the events in the order given; resolves when the broker has acknowledged them. */
export const send = async (producer: Producer, rows: ReadonlyArray<Row>): Promise<void> => {
  const topics = Map.groupBy(rows, ({ topic }) => String(topic))
  await producer.sendBatch({
    acks: -1,
    topicMessages: [...topics].map(([topic, some]) => ({
      topic,
      messages: some.map((row) => ({
        key: String(row["key"]),
        value: String(row["payload"]),
        headers: { ce_id: String(row["id"]) }
      }))
    }))
  })
}
