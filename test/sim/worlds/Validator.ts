/** A validator as a program: the real `ValidateInvoices` and Kafka adapter, on the models of Postgres and Kafka. */
import { KafkaConsumer, KafkaPublisher } from "@invoice/adapters/kafka"
import { InvoiceStore, InvoiceValidator, Profile, ValidateInvoices } from "@invoice/core"
import { Effect, Fiber, Layer } from "effect"
import type { Random } from "../../faults/Random.ts"
import type { Engine } from "../Engine.ts"
import type { Brokers } from "../kafka/Brokers.ts"
import { connect } from "../kafka/Client.ts"
import type { Groups } from "../kafka/Groups.ts"
import type { Network } from "../kafka/Link.ts"
import { Process } from "../Process.ts"
import { Connections } from "../postgres/Connections.ts"
import type { Server } from "../postgres/Server.ts"
import type { Statements } from "../postgres/Statements.ts"
import type { Alterations } from "./Alterations.ts"
import * as ModelStore from "./ModelStore.ts"

export interface Parts {
  readonly engine: Engine
  readonly random: Random
  readonly server: Server
  readonly brokers: Brokers
  readonly groups: Groups
  readonly statements: Statements
  readonly contents: ModelStore.Contents
  readonly alterations: Alterations
}

export const group = "validation-service"

export interface Validator {
  readonly process: Process
  readonly connections: Connections
  readonly network: Network
  /** SIGTERM: the program finishes the work in hand, and ends. */
  readonly end: () => void
}

/** @param ended called when the program ends by itself */
export const start = (parts: Parts, name: string, ended: () => void): Validator => {
  const { alterations, brokers, contents, engine, groups, random, server, statements } = parts
  const process = new Process(engine, name, random.fork(name))
  const connections = new Connections(server, statements, process, { maxConnections: 3 })
  const client = connect(process, brokers, groups, { requestTimeout: 3_000 })
  const kafka = alterations.kafka?.(client.kafka) ?? client.kafka
  const store = ModelStore.make(connections, contents)
  const judging = InvoiceValidator.of({ judge: (invoice) => Effect.sync(() => Profile.judge(Profile.core, invoice)) })
  const layer = ValidateInvoices.layer({ group, concurrency: 2, retryMillis: 300, finishMillis: 500 }).pipe(
    Layer.provide(Layer.succeed(InvoiceStore, alterations.store?.(store) ?? store)),
    Layer.provide(Layer.succeed(InvoiceValidator, alterations.validator?.(judging) ?? judging)),
    Layer.provide(KafkaPublisher.publisherOver(kafka, { topics: [], requestTimeout: "3 seconds" })),
    Layer.provide(
      KafkaConsumer.consumerOver(kafka, {
        concurrency: 2,
        setAsideAfter: "20 millis",
        maxBatch: 3,
        maxWait: "200 millis",
        commitInterval: "200 millis",
        sessionTimeout: "1500 millis",
        heartbeatInterval: "300 millis",
        drainTimeout: "1 second"
      })
    )
  )
  const fiber = process.fork(
    Effect.scoped(
      Effect.flatMap(Layer.build(layer), (context) =>
        Effect.provide(
          Effect.flatMap(ValidateInvoices, ({ run }) => run),
          context
        )
      )
    ).pipe(Effect.onExit(() => Effect.sync(ended)))
  )
  return { process, connections, network: client.network, end: () => process.fork(Fiber.interrupt(fiber)) }
}
