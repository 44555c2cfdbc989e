/**
 * kafkajs itself over modelled brokers: its producer, consumer, admin, cluster, broker pool and retries are the ones that
 * run in production; only the connections to brokers are replaced.
 */
import { Kafka, logLevel } from "kafkajs"
import * as Latency from "../Latency.ts"
import type { Process } from "../Process.ts"
import type { Brokers } from "./Brokers.ts"
import type { Groups } from "./Groups.ts"
import { basePort, Link, type Network } from "./Link.ts"

/** Of kafkajs' private parts: what every client is made of. */
interface Cluster {
  readonly brokerPool: {
    createBroker: (options: { readonly connectionPool: { readonly port: number } }) => Link
    connectionPoolBuilder: { readonly build: (address?: { readonly port?: number }) => Promise<{ readonly port: number }> }
  }
}

type CreateCluster = (...options: ReadonlyArray<unknown>) => Cluster

const isCreateCluster = (value: unknown): value is CreateCluster => typeof value === "function"

export interface Options {
  /** In milliseconds. */
  readonly requestTimeout: number
}

/** What a program has of a cluster: the client, and the network that the world can harm. */
export const connect = (process: Process, brokers: Brokers, groups: Groups, { requestTimeout }: Options) => {
  const network: Network = {
    process,
    brokers,
    groups,
    requestTimeout,
    cutOff: new Set(),
    losing: new Map(),
    links: new Set()
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
  Reflect.set(kafka, name, (...options: ReadonlyArray<unknown>) => {
    const cluster = create(...options)
    cluster.brokerPool.createBroker = ({ connectionPool }) => new Link(network, connectionPool.port)
    cluster.brokerPool.connectionPoolBuilder = {
      build: async ({ port } = {}) => ({ port: port ?? basePort + (seed++ % brokers.nodes.length) })
    }
    return cluster
  })
  return { kafka, network }
}

/** The broker is gone: its connections break. */
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
