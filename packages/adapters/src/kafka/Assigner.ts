import { type Broker, type Cluster, type PartitionAssigner, PartitionAssigners } from "kafkajs"
import { KafkaFailure } from "./KafkaFailure.ts"

/** What a group member does about its attempts to join its group (again), and what it answers about them. */
export interface Joins {
  /** Runs before an attempt, which waits for it. */
  readonly prepare: () => Promise<void>
  /** An attempt failed, and kafkajs will not try again by itself. */
  readonly failed: (failure: KafkaFailure) => void
  /** Whether an attempt is under way. */
  readonly isJoining: () => boolean
  /** Whether the consumer is being stopped, or has been. */
  readonly isStopping: () => boolean
}

/**
 * Round robin that also observes the attempts to join. kafkajs has events for some of its reasons to join only, waits
 * for none of their listeners, and has no event for a failed attempt: if it joined because a leader had moved, it then
 * goes on with the old membership. But every attempt begins with looking up the coordinator, through the cluster that
 * kafkajs passes to its assigners, and goes on with two requests to that coordinator. Between them the group's leader
 * refreshes the cluster's metadata; after them a member that was assigned a partition that it doesn't know does the
 * same.
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
    endStoppedFetchers(cluster, joins)
    return PartitionAssigners.roundRobin(config)
  }

/**
 * Ends the fetchers of a stopped consumer. kafkajs makes new fetchers when the set of brokers has changed. If the
 * consumer is stopped at that moment, nothing stops the new ones: they neither fetch nor wait, and their loop blocks
 * the process. Each fetcher asks for the brokers before each fetch, so an error there ends it.
 */
const endStoppedFetchers = (cluster: Cluster, { isStopping }: Joins): void => {
  const nodeIds = cluster.getNodeIds.bind(cluster)
  cluster.getNodeIds = () => {
    if (isStopping()) throw new Error("the consumer is stopped")
    return nodeIds()
  }
}

/** Whether kafkajs begins the whole attempt again after this failure. */
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

/** The coordinator, with a report of failures of the two requests that belong to an attempt to join. */
const watched = (coordinator: Broker, joins: Joins): Broker =>
  new Proxy(coordinator, {
    get: (target, name, receiver) => {
      const value: unknown = Reflect.get(target, name, receiver)
      if (typeof value !== "function" || !steps.has(name)) return value
      return (...options: ReadonlyArray<unknown>) => reporting(() => Reflect.apply(value, target, options), joins)
    }
  })
