/**
 * kafkajs itself over modelled brokers: its producer, consumer, admin, cluster, broker pool and retries are the ones
 * that run in production; only the connections to brokers are replaced.
 */
import { Kafka, logLevel } from "kafkajs"
import * as Latency from "../Latency.ts"
import type { Process } from "../Process.ts"
import type { Brokers } from "./Brokers.ts"
import type { Groups } from "./Groups.ts"
import { basePort, type Emitter, Link, type Network } from "./Link.ts"

/** The private part of kafkajs on which every client is built. */
interface Cluster {
  readonly brokerPool: {
    createBroker: (options: { readonly connectionPool: { readonly port: number } }) => Link
    connectionPoolBuilder: {
      readonly build: (address?: { readonly port?: number }) => Promise<{ readonly port: number }>
    }
    getNodeIds: () => ReadonlyArray<string>
  }
}

type CreateCluster = (options: { readonly instrumentationEmitter?: Emitter }) => Cluster

const isCreateCluster = (value: unknown): value is CreateCluster => typeof value === "function"

/** More calls than this between two events of the engine mean that kafkajs spins. */
const mostAsked = 2_000

export interface Options {
  /** In milliseconds. */
  readonly requestTimeout: number
}

/** Connects a program to the cluster: a kafkajs client, and the network that the world can harm. */
export const connect = (process: Process, brokers: Brokers, groups: Groups, { requestTimeout }: Options) => {
  const network: Network = {
    process,
    brokers,
    groups,
    requestTimeout,
    cutOff: new Set(),
    losing: new Map(),
    links: new Set(),
    swallowed: 0
  }
  const kafka = new Kafka({
    brokers: brokers.nodes.map(({ id }) => `broker-${id}:${basePort + id}`),
    clientId: process.name,
    requestTimeout,
    retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
    logLevel: logLevel.NOTHING
  })
  const name = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === "private:Kafka:createCluster"
  )
  const create: unknown = name === undefined ? undefined : Reflect.get(kafka, name)
  if (name === undefined || !isCreateCluster(create)) throw new Error("kafkajs makes its clusters in another way")
  let seed = 0
  Reflect.set(kafka, name, (options: Parameters<CreateCluster>[0]) => {
    const cluster = create(options)
    const { brokerPool } = cluster
    brokerPool.createBroker = ({ connectionPool }) =>
      new Link(network, connectionPool.port, options.instrumentationEmitter)
    brokerPool.connectionPoolBuilder = {
      build: async ({ port } = {}) => ({ port: port ?? basePort + (seed++ % brokers.nodes.length) })
    }
    brokerPool.getNodeIds = unlessSpinning(process, brokerPool.getNodeIds.bind(brokerPool))
    return cluster
  })
  return { kafka, network }
}

/** Breaks the connections to a broker that is down. */
export const breakLinks = (network: Network, node: number, why: string): void => {
  for (const link of network.links) {
    if (link.node.id !== node || !link.isConnected()) continue
    const { engine, random } = network.process
    engine.after(Latency.broker(engine, random), network.process, () => link.close(why))
  }
}

export const cutOff = (network: Network, nodes: Iterable<number>): void => {
  for (const node of nodes) network.cutOff.add(node)
  for (const link of network.links) if (network.cutOff.has(link.node.id)) link.cutOff()
}

export const reconnect = (network: Network): void => {
  network.cutOff.clear()
  for (const link of network.links) link.reconnect()
}

/**
 * A fetcher of kafkajs asks for the brokers before each fetch. A fetcher that asks again and again and waits for
 * nothing in between keeps its process from doing anything else, forever. Then the process counts as spinning, which
 * fails the run.
 */
const unlessSpinning = <A>(process: Process, ask: () => A): (() => A) => {
  let at = -1
  let asked = 0
  return () => {
    const { engine } = process
    asked = at === engine.happened ? asked + 1 : 0
    at = engine.happened
    if (asked > mostAsked) {
      engine.note(process.name, () => "spins: kafkajs fetches and waits for nothing")
      engine.spinning ??= process
      throw new Error("kafkajs fetches and waits for nothing")
    }
    return ask()
  }
}
