import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { closeSync, openSync, rmSync } from "node:fs"
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bootstrapOf, clusterId, freePort, type Node, nodesOn, propertiesOf } from "./Cluster.ts"
import { run } from "./Command.ts"
import type { StartedKafka, StartedNode } from "./index.ts"

const root = join(import.meta.dirname, "../../..")
const pom = join(import.meta.dirname, "pom.xml")

const logging = (file: string): string => `
appender.file.type = File
appender.file.name = file
appender.file.fileName = ${file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = file
`

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false
  )

/**
 * The directory with the broker's jars, fetched through Maven once for each content of the pom. It is built under
 * another name and renamed, so that several test processes can do this at once.
 */
const jars = async (): Promise<string> => {
  const hash = createHash("sha256")
    .update(await readFile(pom))
    .digest("hex")
    .slice(0, 16)
  const cache = join(root, ".cache/kafka")
  const target = join(cache, hash)
  if (await exists(target)) return target
  await mkdir(cache, { recursive: true })
  const building = await mkdtemp(join(cache, "building-"))
  try {
    await run("mvn", ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${building}`])
    await rename(building, target).catch(async (error: unknown) => {
      // another process was faster
      if (!(await exists(target))) throw error
    })
    return target
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once("exit", () => resolve()))

/** Asks a process to stop, waits for its end, and kills it after 5 s. */
const stopped = async (child: ChildProcess): Promise<void> => {
  child.kill("SIGTERM")
  const timeout = setTimeout(() => child.kill("SIGKILL"), 5_000)
  await ended(child)
  clearTimeout(timeout)
}

/** Copies a formatted directory for another node, which saves a Java process for each. */
const copyFormatted = async (from: string, to: string, { id }: Node): Promise<void> => {
  await cp(from, to, { recursive: true })
  const path = join(to, "meta.properties")
  const text = await readFile(path, "utf8")
  await writeFile(
    path,
    text
      .replace(/^node\.id=.*$/mu, `node.id=${id}`)
      .replace(/^directory\.id=.*$/mu, `directory.id=${randomBytes(16).toString("base64url")}`)
  )
}

/**
 * Starts a cluster of Java processes; rejects when Java 17 or Maven is not there.
 *
 * @param advertised ports of proxies, one for each broker, which then has a second listener (`StartedNode.proxied`)
 */
export const startInJava = async (count: number, advertised: ReadonlyArray<number> = []): Promise<StartedKafka> => {
  // for brokers that are started again and again: one compiler instead of two halves the cost of a start
  const compiler = advertised.length === 0 ? [] : ["-XX:TieredStopAtLevel=1"]
  const [classes] = await Promise.all([jars(), run("java", ["-version"])])
  const home = await mkdtemp(join(tmpdir(), "invoice-kafka-"))
  const log = join(home, "broker.log")
  const nodes = await Promise.all(
    (await nodesOn(count)).map(async (node, index): Promise<Node> => {
      const proxy = advertised[index]
      return proxy === undefined ? node : { ...node, proxied: { port: await freePort(), advertised: proxy } }
    })
  )
  const children = new Map<Node, ChildProcess>()

  // when the test process ends without stop
  const abandon = () => {
    for (const child of children.values()) child.kill("SIGKILL")
    rmSync(home, { recursive: true, force: true })
  }

  const java = (heap: string, main: string, ...args: ReadonlyArray<string>): ReadonlyArray<string> => [
    heap,
    "-XX:+UseSerialGC",
    ...compiler,
    `-Dlog4j2.configurationFile=${join(home, "log4j2.properties")}`,
    "-cp",
    join(classes, "*"),
    main,
    ...args
  ]

  const configuration = (node: Node): string => join(home, `${node.id}.properties`)

  const launch = (node: Node): void => {
    const output = openSync(log, "a")
    const child = spawn("java", java("-Xmx512m", "kafka.Kafka", configuration(node)), {
      stdio: ["ignore", output, output]
    })
    closeSync(output)
    children.set(node, child)
  }

  const stop = async (): Promise<void> => {
    process.removeListener("exit", abandon)
    await Promise.all([...children.values()].map(stopped))
    await rm(home, { recursive: true, force: true })
  }

  const control = (node: Node): StartedNode => ({
    id: node.id,
    address: `127.0.0.1:${node.port}`,
    proxied: node.proxied?.port,
    kill: async (signal) => {
      const child = children.get(node)
      child?.kill(signal)
      // a process that is only stopped (SIGSTOP) does not end
      if (child !== undefined && (signal === "SIGKILL" || signal === "SIGTERM")) await ended(child)
    },
    restart: async () => {
      const child = children.get(node)
      if (child !== undefined) await stopped(child)
      launch(node)
    }
  })

  try {
    await writeFile(join(home, "log4j2.properties"), logging(log))
    const place = { host: "127.0.0.1", dataOf: ({ id }: Node) => join(home, `data-${id}`) }
    for (const node of nodes) await writeFile(configuration(node), propertiesOf(node, nodes, place))
    const [first, ...others] = nodes
    if (first === undefined) throw new Error("a cluster has at least one broker")
    const format = ["kafka.tools.StorageTool", "format", "-t", clusterId, "-c", configuration(first)] as const
    await run("java", java("-Xmx128m", ...format))
    for (const node of others) await copyFormatted(place.dataOf(first), place.dataOf(node), node)
    process.once("exit", abandon)
    nodes.forEach(launch)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    brokers: bootstrapOf(nodes),
    nodes: nodes.map(control),
    log: async () => (await readFile(log, "utf8")).slice(-4_000),
    stop
  }
}
