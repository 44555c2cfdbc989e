import { type PartitionAssigner, PartitionAssigners } from "kafkajs"

/**
 * Round robin, and a way to finish things before a member joins its group (again). kafkajs has an event for some of its
 * reasons to join and none that it waits for; but every join begins with looking up the coordinator, through the
 * cluster that it hands to its assigners.
 */
export const roundRobinAfter =
  (prepare: () => Promise<void>): PartitionAssigner =>
  (config) => {
    const { cluster } = config
    const find = cluster.findGroupCoordinator.bind(cluster)
    cluster.findGroupCoordinator = async (group) => {
      await prepare()
      return find(group)
    }
    return PartitionAssigners.roundRobin(config)
  }
