import { type Broker, type Cluster, type PartitionAssigner, PartitionAssigners } from "kafkajs"
import { KafkaFailure } from "./KafkaFailure.ts"

/** The tries of a member to join its group (again). */
export interface Joins {
  /** To finish before the try goes out. */
  readonly prepare: () => Promise<void>
  /** It failed, and kafkajs will not try again by itself. */
  readonly failed: (failure: KafkaFailure) => void
  /** Whether a try is under way. */
  readonly isJoining: () => boolean
  /** Whether the consumer is being stopped, or has been. */
  readonly isStopping: () => boolean
}

/**
 * Round robin, and an eye on the tries to join. kafkajs has an event for some of its reasons to join and none that it
 * waits for, and none for a try that failed: when it joined because a leader had moved, it then goes on with the old
 * member. But every try begins with looking up the coordinator, through the cluster that it hands to its assigners,
 * and goes on with two requests to that; the group's leader reads the cluster's metadata between them, and whoever is
 * assigned a partition that it doesn't know does so after them.
 */
export const roundRobinWatching =
  (joins: Joins): PartitionAssigner =>
  (config) => {
    const { cluster } = config
    const find = cluster.findGroupCoordinator.bind(cluster)
    const refresh = cluster.refreshMetadata.bind(cluster)
    let isFound = false
    cluster.findGroupCoordinator = async (group) => {
      isFound = false
      await joins.prepare()
      const coordinator = await reporting(() => find(group), joins)
      isFound = true
      return watched(coordinator, joins)
    }
    cluster.refreshMetadata = () => (isFound && joins.isJoining() ? reporting(refresh, joins) : refresh())
    neverSpin(cluster, joins)
    return PartitionAssigners.roundRobin(config)
  }

/**
 * Ends the fetchers of a consumer that is stopped. kafkajs makes new ones when it finds that the brokers are others than
 * before; when it was stopped at that moment nobody stops those: they fetch nothing, wait for nothing, and the process does
 * nothing else any more. Before each fetch they ask which brokers there are.
 */
const neverSpin = (cluster: Cluster, { isStopping }: Joins): void => {
  const nodeIds = cluster.getNodeIds.bind(cluster)
  cluster.getNodeIds = () => {
    if (isStopping()) throw new Error("the consumer is stopped")
    return nodeIds()
  }
}

/** With these kafkajs begins the whole try again. */
const triesAgain = (failure: KafkaFailure): boolean => failure.rebalances || failure.type === "UNKNOWN_MEMBER_ID"

const reporting = async <A>(request: () => Promise<A>, joins: Joins): Promise<A> => {
  try {
    return await request()
  } catch (error) {
    const failure = KafkaFailure.from(error)
    if (!triesAgain(failure)) joins.failed(failure)
    throw error
  }
}

const steps: ReadonlySet<string | symbol> = new Set(["joinGroup", "syncGroup"])

/** The coordinator, with a look at what becomes of the requests of which a try to join consists. */
const watched = (coordinator: Broker, joins: Joins): Broker =>
  new Proxy(coordinator, {
    get: (target, name, receiver) => {
      const value: unknown = Reflect.get(target, name, receiver)
      if (typeof value !== "function" || !steps.has(name)) return value
      return (...options: ReadonlyArray<unknown>) => reporting(() => Reflect.apply(value, target, options), joins)
    }
  })
