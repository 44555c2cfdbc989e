/** The type of every program: it starts, answers where it listens, and runs until it is asked to stop. */
import type { InvoiceStore, InvoiceValidator, MessageConsumer, MessagePublisher, Outbox } from "@invoice/core"
import type { Effect, Layer, Scope } from "effect"

/** What to print in the line that says it is ready. */
export interface Ready {
  readonly urls: Readonly<Record<string, string>>
  readonly note?: string
  /** Fails when the program has lost what it can't run without; then it stops, with exit code 1. */
  readonly lost?: Effect.Effect<never, Error>
}

/** Fails with an error whose message is for the person who started it. */
export type Program = Effect.Effect<Ready, Error, Scope.Scope>

/** Layers of your own, each instead of what the settings say. They are built once and closed when the program stops. */
export interface Layers {
  /** Instead of `DATABASE_URL` or `STORAGE_ADDRESS`. Its schema must be up to date: the program doesn't migrate it. */
  readonly store?: Layer.Layer<InvoiceStore | Outbox, Error>
  /** Instead of `KAFKA_BROKERS`. */
  readonly broker?: Layer.Layer<MessagePublisher | MessageConsumer, Error>
  /** Instead of `VALIDATOR` and `VALIDATOR_PROFILE`. */
  readonly validator?: Layer.Layer<InvoiceValidator, Error>
}
