/** Stores with faults, and the laws that they may break. */
import type { Invoice, InvoiceStore } from "@invoice/core"
import type { StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import { shared } from "../SharedMemory.ts"
import { broken, type Ports } from "./Broken.ts"
import type { Mutant } from "./Suite.ts"

export type Store = InvoiceStore["Service"]

export const mutant = (
  fault: string,
  store: (store: Store) => Partial<Store>,
  ...fails: ReadonlyArray<string>
): Mutant<Ports> => ({
  fault,
  make: () => broken({ store }),
  fails
})

/** Several instances of it share what a sound store keeps, but for the fault. */
export const instances = (
  fault: string,
  store: (store: Store) => Partial<Store>,
  ...fails: ReadonlyArray<string>
): Mutant<Ports> => ({ fault, make: () => broken({ store }, shared()), fails })

/** Shows something else than it keeps. */
export const shows = (change: (stored: StoredInvoice) => StoredInvoice) => (store: Store) => ({
  get: (id: Invoice.InvoiceId) => Effect.map(store.get(id), change),
  getMany: (ids: ReadonlyArray<Invoice.InvoiceId>) => Effect.map(store.getMany(ids), (some) => some.map(change))
})

/** The laws of `InvoiceStoreContract`. */
export const law = {
  content: "any invoice that the types hold comes back with the same content",
  least: "invoices that differ in a last digit, a last character or a nanosecond are not the same",
  fresh: "a new invoice is pending at version 1 with one event and one line of history",
  again: "the same invoice again is unchanged and leaves no second event",
  conflict: "another invoice with a known id is a conflict and changes nothing",
  createRace: "of twenty different invoices racing for one id one wins, and the others are told",
  lines: "the lines come back in the order given",
  unknown: "an unknown id is not found",
  many: "many at once: those that exist, each once",
  neighbours: "invoices that can't be stored never fail the ones that are stored at the same time",
  ready: "a store that is there is ready",
  writable: "a store that takes writes says so, and leaves no invoice, history or event behind",
  judged: "the default profile's verdict on a stored invoice is its verdict on the invoice",
  reasons: "a verdict is kept with its reasons, byte for byte, with its event and its history",
  final: "a decided invoice can't be decided again, whatever the version says",
  batch: "a batch of verdicts: an outcome for each, as if they were applied one after the other",
  verdictRace: "of twenty verdicts racing for one invoice one is applied",
  traced: "the trace context of a change travels with its event, and none is made up",
  times: "a change is dated when it happens, by the store's clock and not by the client's",
  newestFirst: "a list goes newest first through pages that lose and repeat nothing while invoices arrive",
  filtered: "a list holds what its filters ask for, and nothing else",
  everySet: "every set of filters lists what meets all of them, newest first",
  walked: "a list that is walked while a thousand invoices arrive misses none and repeats none",
  pagesByBytes: "a page ends before it holds more than 4 MB, and the next one goes on",
  mostListed: "200 invoices are listed at once",
  mostRead: "5,000 invoices are read by their ids at once",
  mostDecided: "10,000 invoices are decided at once, and their changes told in one page",
  changes: "every change is told once, those of one invoice in order, from any cursor on, while invoices arrive",
  empty: "an empty page of changes leaves a cursor that goes on",
  head: "the head is behind what is committed, and before what comes",
  foreign: "a cursor that the store did not hand out is invalid",
  beyond: "a cursor beyond the head is invalid",
  model: "any sequence of commands is answered as a model answers it",
  restart: "invoices, their history and their events outlive the instance that wrote them",
  cursors: "cursors outlive the instance that handed them out",
  together: "what one instance writes another one sees at once",
  races: "of many who race through two instances one wins"
}
