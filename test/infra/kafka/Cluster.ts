import { createServer } from "node:net"

/** One broker of a test cluster, which is also a controller (KRaft combined mode). */
export interface Node {
  readonly id: number
  readonly port: number
  readonly controllerPort: number
  /** A second listener: it advertises the port of a proxy, through which its clients then connect. */
  readonly proxied?: { readonly port: number; readonly advertised: number }
}

/** Where the nodes write and listen; a container listens on every interface, a process on loopback. */
export interface Place {
  readonly host: string
  readonly dataOf: (node: Node) => string
}

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })

/** Nodes on ports that were free a moment ago. */
export const nodesOn = async (count: number): Promise<ReadonlyArray<Node>> => {
  const ports = await Promise.all(Array.from({ length: count * 2 }, freePort))
  return Array.from({ length: count }, (_, index) => ({
    id: index + 1,
    port: ports[index * 2] ?? 0,
    controllerPort: ports[index * 2 + 1] ?? 0
  }))
}

export const bootstrapOf = (nodes: ReadonlyArray<Node>): string =>
  nodes.map((node) => `127.0.0.1:${node.port}`).join(",")

/** Partitions of `__consumer_offsets`. Each group belongs to one of them, whose leader is the group's coordinator. */
export const offsetsPartitions = 4

/** 16 bytes in base64url, as `StorageTool random-uuid` makes them. */
export const clusterId = "aW52b2ljZS10ZXN0czAwMQ"

/**
 * Lets a test revoke rights on a topic of its own. Only for a single node: several nodes must vote before they know any
 * rights, so they need a super user, and here the nodes and the tests are all the same user.
 */
const authorizer = {
  "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  "allow.everyone.if.no.acl.found": true
}

/** The broker's `server.properties`. */
export const propertiesOf = (node: Node, nodes: ReadonlyArray<Node>, place: Place): string => {
  const replicas = Math.min(3, nodes.length)
  const listener = (name: string, port: number | undefined): string =>
    port === undefined ? "" : `,${name}://${place.host}:${port}`
  return Object.entries({
    "process.roles": "broker,controller",
    "node.id": node.id,
    "controller.quorum.voters": nodes.map(({ id, controllerPort }) => `${id}@127.0.0.1:${controllerPort}`).join(","),
    listeners: `PLAINTEXT://${place.host}:${node.port},CONTROLLER://${place.host}:${node.controllerPort}${listener("PROXIED", node.proxied?.port)}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${node.port}${listener("PROXIED", node.proxied?.advertised)}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
    "log.dirs": place.dataOf(node),
    // a topic that nothing has created explicitly is a bug that a test must see
    "auto.create.topics.enable": false,
    // an acknowledged record survives the loss of any one broker; a topic with one replica is exempt
    "min.insync.replicas": nodes.length >= 3 ? 2 : 1,
    // leaders go back to their preferred broker within a second of its return, instead of five minutes
    "leader.imbalance.check.interval.seconds": 1,
    "offsets.topic.num.partitions": offsetsPartitions,
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": 1,
    // the first member of a group need not wait 3 s for others
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    // a broker that was killed may come back after this long, instead of 9 s
    "broker.session.timeout.ms": 4000,
    "broker.heartbeat.interval.ms": 500,
    // lets a test make brokers forget producers (producer.id.expiration.ms); the default is to check every 10 minutes
    "producer.id.expiration.check.interval.ms": 1000,
    "log.cleaner.dedupe.buffer.size": 8_388_608,
    ...(nodes.length === 1 ? authorizer : {})
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join("")
}
