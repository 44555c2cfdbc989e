/** A relay as a program: the real `RelayOutbox` and the real adapters, on the models of Postgres and Kafka. */
import { KafkaPublisher } from "@invoice/adapters/kafka"
import { type MessagePublisher, Outbox, RelayOutbox } from "@invoice/core"
import { Effect, Fiber, Layer } from "effect"
import type { Random } from "../../faults/Random.ts"
import type { Engine } from "../Engine.ts"
import type { Brokers } from "../kafka/Brokers.ts"
import { connect } from "../kafka/Client.ts"
import type { Groups } from "../kafka/Groups.ts"
import type { Network } from "../kafka/Link.ts"
import { Process } from "../Process.ts"
import { Connections, type Observer } from "../postgres/Connections.ts"
import type { Server } from "../postgres/Server.ts"
import type { Statements } from "../postgres/Statements.ts"
import * as Seams from "../Seams.ts"
import type { Alterations } from "./Alterations.ts"

export interface Parts {
  readonly engine: Engine
  readonly random: Random
  readonly server: Server
  readonly statements: Statements
  readonly brokers: Brokers
  readonly groups: Groups
  readonly observer: Observer
  readonly alterations: Alterations
}

export const leaseMillis = 1_500
export const requestTimeout = 2_000

export interface Relay {
  readonly process: Process
  readonly connections: Connections
  readonly network: Network
  /** SIGTERM: the program finishes the work in hand, and ends. */
  readonly end: () => void
}

export const start = (parts: Parts, name: string, lanes: ReadonlyArray<number> | undefined): Relay => {
  const { alterations, brokers, engine, groups, observer, random, server, statements } = parts
  const process = new Process(engine, name, random.fork(name))
  const connections = new Connections(server, statements, process, {
    maxConnections: 2,
    observer
  })
  const outbox = Seams.outbox(connections)
  const { kafka, network } = connect(process, brokers, groups, { requestTimeout })
  const publisher: Layer.Layer<MessagePublisher> = KafkaPublisher.publisherOver(alterations.kafka?.(kafka) ?? kafka, {
    // created with the first message instead of at the start
    topics: [],
    requestTimeout: `${requestTimeout} millis`
  })
  const layer = RelayOutbox.layer({
    owner: name,
    ...(lanes === undefined ? {} : { lanes }),
    pageSize: 3,
    leaseMillis,
    idleMillis: 200,
    retryMillis: 500
  }).pipe(Layer.provide(Layer.merge(publisher, Layer.succeed(Outbox, alterations.outbox?.(outbox) ?? outbox))))
  const fiber = process.fork(
    Effect.scoped(
      Effect.flatMap(Layer.build(layer), (context) =>
        Effect.provide(
          Effect.flatMap(RelayOutbox, ({ run }) => run),
          context
        )
      )
    )
  )
  return { process, connections, network, end: () => process.fork(Fiber.interrupt(fiber)) }
}
