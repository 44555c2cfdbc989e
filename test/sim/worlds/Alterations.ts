/** What a mutant changes of a world, in memory: the code on disk is never touched. */
import type { KafkaClient } from "@invoice/adapters/kafka"
import type { InvoiceStore, InvoiceValidator, Outbox } from "@invoice/core"
import type { Statements } from "../postgres/Statements.ts"

export interface Alterations {
  /** What the database understands by the adapter's statements. */
  readonly statements?: Statements
  /** Between the relay and its outbox. */
  readonly outbox?: (outbox: Outbox["Service"]) => Outbox["Service"]
  /** Between the Kafka adapter and kafkajs. */
  readonly kafka?: (kafka: KafkaClient) => KafkaClient
  /** Between the watches or the validator and their store. */
  readonly store?: (store: InvoiceStore["Service"]) => InvoiceStore["Service"]
  readonly validator?: (validator: InvoiceValidator["Service"]) => InvoiceValidator["Service"]
}
