import { bootstrapOf, clusterId, nodesOn, propertiesOf } from "./Cluster.ts"
import { run } from "./Command.ts"
import type { StartedKafka } from "./index.ts"

const image = "apache/kafka:4.1.0"

/** Runs all nodes in one container: they find one another on its loopback, and clients find them on the host's. */
const script = (ids: ReadonlyArray<number>): string =>
  [
    ...ids.map((id) => `printenv PROPERTIES_${id} > /tmp/${id}.properties`),
    ...ids.map((id) => `/opt/kafka/bin/kafka-storage.sh format -t ${clusterId} -c /tmp/${id}.properties`),
    ...ids.map((id) => `/opt/kafka/bin/kafka-server-start.sh /tmp/${id}.properties &`),
    "wait"
  ].join("\n")

/** Starts a cluster in a container; rejects when Docker is not there or its daemon does not answer. */
export const startInDocker = async (count: number): Promise<StartedKafka> => {
  await run("docker", ["info"])
  const nodes = await nodesOn(count)
  const place = { host: "0.0.0.0", dataOf: ({ id }: { readonly id: number }) => `/tmp/kafka-${id}` }
  const container = await run("docker", [
    "run",
    "--detach",
    "--rm",
    "--env",
    "KAFKA_HEAP_OPTS=-Xmx512m",
    ...nodes.flatMap((node) => ["--publish", `127.0.0.1:${node.port}:${node.port}`]),
    ...nodes.flatMap((node) => ["--env", `PROPERTIES_${node.id}=${propertiesOf(node, nodes, place)}`]),
    "--entrypoint",
    "bash",
    image,
    "-c",
    script(nodes.map(({ id }) => id))
  ])
  return {
    brokers: bootstrapOf(nodes),
    nodes: [],
    log: () => run("docker", ["logs", "--tail", "40", container]),
    stop: async () => {
      await run("docker", ["rm", "--force", "--volumes", container])
    }
  }
}
