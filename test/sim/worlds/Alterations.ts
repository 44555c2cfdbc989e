/** What a mutant changes in a world, in memory; the code on disk is never changed. */
import type { KafkaClient } from "@invoice/adapters/kafka"
import type { InvoiceStore, InvoiceValidator, Outbox } from "@invoice/core"
import type { Verdict } from "@invoice/core/Verdict"
import type { Statements } from "../postgres/Statements.ts"

export interface Alterations {
  /** The meanings of the adapter's statements on the model. */
  readonly statements?: Statements
  /** Wraps the outbox of the relay. */
  readonly outbox?: (outbox: Outbox["Service"]) => Outbox["Service"]
  /** Wraps kafkajs below the Kafka adapter. */
  readonly kafka?: (kafka: KafkaClient) => KafkaClient
  /** Wraps the store of the watches or of the validator. */
  readonly store?: (store: InvoiceStore["Service"]) => InvoiceStore["Service"]
  /** Changes the verdict that the store writes into the event. */
  readonly told?: (verdict: Verdict) => Verdict
  readonly validator?: (validator: InvoiceValidator["Service"]) => InvoiceValidator["Service"]
}
