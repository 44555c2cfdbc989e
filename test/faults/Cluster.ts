/** The brokers that this suite may harm, each behind a port of the proxy, and the leaders of their partitions. */
import type { Admin, PartitionMetadata } from "kafkajs"
import { offsetsPartitions } from "../infra/kafka/Cluster.ts"
import { type StartedKafka, type StartedNode, startKafka } from "../infra/kafka/index.ts"
import { reasonOf } from "../programs/Sql.ts"
import { pause, until } from "../programs/Waiting.ts"
import { client } from "./LogReader.ts"
import type { Random } from "./Random.ts"
import { TcpProxy } from "./TcpProxy.ts"

/** One partition of a topic; `replicas` begins with the preferred leader. */
export type Partition = Pick<PartitionMetadata, "leader" | "replicas" | "isr"> & {
  readonly topic: string
  readonly partition: number
}

const offsets = "__consumer_offsets"
const mostMillis = 30_000

/** Java's `String.hashCode`, by which a consumer group gets its partition of `__consumer_offsets`. */
const hashCode = (text: string): number => {
  let hash = 0
  for (let index = 0; index < text.length; index++) hash = (Math.imul(31, hash) + text.charCodeAt(index)) | 0
  return hash
}

export class Cluster {
  readonly kafka: StartedKafka
  readonly proxy: TcpProxy
  private readonly down = new Set<number>()

  private constructor(kafka: StartedKafka, proxy: TcpProxy) {
    this.kafka = kafka
    this.proxy = proxy
  }

  static async start(brokers: 1 | 3): Promise<Cluster> {
    const proxy = await TcpProxy.listen(brokers)
    try {
      const kafka = await startKafka({ brokers, proxies: proxy.ports })
      proxy.targets = kafka.nodes.map(({ proxied }) => proxied ?? 0)
      return new Cluster(kafka, proxy)
    } catch (error) {
      await proxy.close()
      throw error
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.proxy.close(), this.kafka.stop()])
  }

  /** How many brokers there are, including stopped ones. */
  get size(): number {
    return this.kafka.nodes.length
  }

  get ids(): ReadonlyArray<number> {
    return this.kafka.nodes.map(({ id }) => id)
  }

  private node(id: number): StartedNode {
    const node = this.kafka.nodes.find((node) => node.id === id)
    if (node === undefined) throw new Error(`there is no broker ${id}`)
    return node
  }

  /** Resolves when the broker's process has ended. */
  async kill(id: number, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.down.add(id)
    await this.node(id).kill(signal)
  }

  /** Starts a broker; `settled` resolves when it is a leader and a replica in sync again. */
  async restart(id: number): Promise<void> {
    await this.node(id).restart()
    this.down.delete(id)
  }

  /**
   * Runs a call that may be repeated, with a connection of its own for each try: for some seconds after a broker's
   * death the metadata still names it, and it refuses connections.
   */
  async administer<A>(use: (admin: Admin) => Promise<A>): Promise<A> {
    for (const deadline = performance.now() + mostMillis; ; await pause(100)) {
      const admin = client(this.kafka.brokers).admin()
      try {
        await admin.connect()
        return await use(admin)
      } catch (error) {
        if (performance.now() > deadline) throw error
      } finally {
        await admin.disconnect().catch(() => {})
      }
    }
  }

  /** The partitions of these topics, or of all topics when none is named. */
  partitions(...topics: ReadonlyArray<string>): Promise<ReadonlyArray<Partition>> {
    return this.administer(async (admin) =>
      (await admin.fetchTopicMetadata(topics.length === 0 ? undefined : { topics: [...topics] })).topics.flatMap(
        ({ name, partitions }) =>
          partitions.map(({ isr, leader, partitionId, replicas }) => ({
            topic: name,
            partition: partitionId,
            leader,
            replicas,
            isr
          }))
      )
    )
  }

  /** Waits until the condition holds for every partition; rejects with the partitions that don't meet it. */
  async become(
    what: string,
    holds: (partition: Partition) => boolean,
    { seconds = 60 }: { readonly seconds?: number } = {},
    ...topics: ReadonlyArray<string>
  ): Promise<void> {
    let others: ReadonlyArray<Partition> = []
    const isSo = async (): Promise<boolean> => {
      others = (await this.partitions(...topics)).filter((partition) => !holds(partition))
      return others.length === 0
    }
    await until(what, isSo, { every: 100, seconds }).catch((error: unknown) => {
      throw new Error(`${reasonOf(error)}, but ${JSON.stringify(others)}`)
    })
  }

  /** Waits until every replica is in sync and every leader is the preferred one. */
  settled(): Promise<void> {
    return this.become(
      "the cluster has settled",
      ({ isr, leader, replicas }) => isr.length === replicas.length && leader === replicas[0]
    )
  }

  /** Undoes what a scene did to the brokers. */
  async heal(): Promise<void> {
    this.proxy.pass()
    for (const id of [...this.down]) await this.restart(id)
    await this.settled()
  }

  /**
   * Gives partitions to other leaders. The old leader is removed from the replicas, so that it can't lead, and is then
   * added again as the last replica.
   */
  async moveLeaders(partitions: ReadonlyArray<Partition>, random: Random): Promise<void> {
    const wanted = partitions.map(({ leader, partition, replicas, topic }) => {
      const others = replicas.filter((id) => id !== leader)
      const next = random.pick(others)
      return { topic, partition, replicas: [next, ...others.filter((id) => id !== next)], old: leader }
    })
    const reassign = (replicasOf: (one: (typeof wanted)[number]) => Array<number>): Promise<void> =>
      this.administer((admin) =>
        admin.alterPartitionReassignments({
          topics: [...Map.groupBy(wanted, ({ topic }) => topic)].map(([topic, some]) => ({
            topic,
            partitionAssignment: some.map((one) => ({ partition: one.partition, replicas: replicasOf(one) }))
          }))
        })
      )
    await reassign(({ replicas }) => [...replicas])
    const newLeaders = new Map(wanted.map(({ partition, replicas, topic }) => [`${topic} ${partition}`, replicas[0]]))
    const topics = [...new Set(wanted.map(({ topic }) => topic))]
    await this.become(
      "the leaders have moved",
      ({ leader, partition, topic }) => leader === (newLeaders.get(`${topic} ${partition}`) ?? leader),
      {},
      ...topics
    )
    // a broker that is to add a replica while it still removes it may never fetch it: then remove and add it again
    for (let tries = 1; ; tries++) {
      await reassign(({ old, replicas }) => [...replicas, old])
      try {
        return await this.become(
          "all replicas are in sync",
          ({ isr }) => isr.length === this.size,
          { seconds: 15 },
          ...topics
        )
      } catch (error) {
        if (tries === 4) throw error
        await reassign(({ replicas }) => [...replicas])
        await this.become(
          "the old leaders are no replicas",
          ({ partition, replicas, topic }) =>
            replicas.length === (newLeaders.has(`${topic} ${partition}`) ? this.size - 1 : this.size),
          {},
          ...topics
        )
      }
    }
  }

  /** The group's partition of `__consumer_offsets`, whose leader is the group's coordinator. */
  async coordinatorOf(group: string): Promise<Partition> {
    const number = (hashCode(group) & 0x7fffffff) % offsetsPartitions
    const found = (await this.partitions(offsets)).find(({ partition }) => partition === number)
    if (found === undefined) throw new Error(`${group} has no coordinator: nobody has ever joined it`)
    return found
  }
}
