/** Creates the benchmark's topics, and asks the broker how many records a topic has. */
import { Kafka, logLevel } from "kafkajs"
import { until } from "./Figures.ts"

export interface Topics {
  /** Resolves when the topic is there, with six partitions and their leaders. */
  readonly create: (topic: string) => Promise<void>
  /** Records of an existing topic so far. */
  readonly records: (topic: string) => Promise<number>
  readonly disconnect: () => Promise<void>
}

export const connect = async (brokers: string): Promise<Topics> => {
  const admin = new Kafka({ brokers: brokers.split(","), clientId: "bench", logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const records = async (topic: string): Promise<number> => {
    const offsets = await admin.fetchTopicOffsets(topic)
    return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  }
  return {
    records,
    create: async (topic) => {
      await admin.createTopics({ topics: [{ topic, numPartitions: 6 }], waitForLeaders: false })
      // kafkajs gives up when leaders are not elected yet
      await until(
        () => records(topic).catch(() => -1),
        (count) => count >= 0
      )
    },
    disconnect: () => admin.disconnect()
  }
}
