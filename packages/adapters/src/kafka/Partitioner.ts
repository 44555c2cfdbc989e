import { type ICustomPartitioner, type Message, Partitioners } from "kafkajs"

/**
 * The Java client's default: murmur2 of the key, so that every client puts a key into the same partition.
 *
 * A message without key keeps the partition it got first. When kafkajs retries, it asks for partitions again; with
 * other answers it would send other records under the sequence numbers of the first try, and the broker would drop them
 * as duplicates.
 */
export const partitioner: ICustomPartitioner = () => {
  const java = Partitioners.JavaCompatiblePartitioner()
  const chosen = new WeakMap<Message, number>()
  return (args) => {
    const partition = chosen.get(args.message) ?? java(args)
    chosen.set(args.message, partition)
    return partition
  }
}
