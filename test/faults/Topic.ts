/** Topics of this suite. The broker stamps their records, so that times don't depend on a client's clock. */

import { until } from "../programs/Waiting.ts"
import { client, foreign } from "./LogReader.ts"

export type Config = Readonly<Record<string, string>>

const entriesOf = (config: Config): Array<{ name: string; value: string }> =>
  Object.entries(config).map(([name, value]) => ({ name, value }))

/** `ResourceType` of the Kafka protocol; kafkajs' module does not export its enum by name. */
const resources = { topic: 2, broker: 4 } as const

const stamps: Config = { "message.timestamp.type": "LogAppendTime" }

const administer = async <A>(
  brokers: string,
  use: (admin: ReturnType<ReturnType<typeof client>["admin"]>) => Promise<A>
): Promise<A> => {
  const admin = client(brokers).admin()
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

export const createTopic = (brokers: string, topic: string, config: Config): Promise<boolean> =>
  administer(brokers, (admin) =>
    admin.createTopics({
      waitForLeaders: true,
      topics: [
        {
          topic,
          numPartitions: 6,
          replicationFactor: Math.min(3, brokers.split(",").length),
          configEntries: entriesOf({ ...stamps, ...config })
        }
      ]
    })
  )

/** Sets these entries, and every other one back to its default, except the one for the stamps. */
export const configureTopic = (brokers: string, topic: string, config: Config): Promise<unknown> =>
  administer(brokers, (admin) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: resources.topic, name: topic, configEntries: entriesOf({ ...stamps, ...config }) }]
    })
  )

/** Raises the limit on records' sizes, and waits until the leaders of all partitions apply it. */
export const allowLarge = async (brokers: string, topic: string, bytes: number): Promise<void> => {
  await configureTopic(brokers, topic, { "max.message.bytes": String(bytes) })
  const producer = client(brokers).producer()
  await producer.connect()
  try {
    const value = Buffer.alloc(bytes - 1_000)
    for (const { partition } of await administer(brokers, (admin) => admin.fetchTopicOffsets(topic))) {
      const send = () => producer.send({ topic, messages: [{ partition, value, headers: { [foreign]: "1" } }] })
      await until("the leader takes large records", () =>
        send().then(
          () => true,
          () => false
        )
      )
    }
  } finally {
    await producer.disconnect()
  }
}

/** Sets these entries on every broker. */
export const configureBroker = (brokers: string, config: Config): Promise<unknown> =>
  administer(brokers, async (admin) => {
    for (const { nodeId } of (await admin.describeCluster()).brokers) {
      await admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: resources.broker, name: String(nodeId), configEntries: entriesOf(config) }]
      })
    }
  })

export const deleteTopics = (brokers: string, topics: ReadonlyArray<string>): Promise<void> =>
  administer(brokers, (admin) => admin.deleteTopics({ topics: [...topics] }))

export const addPartitions = (brokers: string, topic: string, count: number): Promise<boolean> =>
  administer(brokers, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count }] }))

/** How many records a topic holds. */
export const size = (brokers: string, topic: string): Promise<number> =>
  administer(brokers, async (admin) =>
    (await admin.fetchTopicOffsets(topic)).reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  )
