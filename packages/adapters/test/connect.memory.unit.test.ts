import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import { createEach } from "@invoice/testing/ListLaws"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Effect } from "effect"
import { remote } from "./RpcServer.ts"
import { ageKeys, shared } from "./SharedMemory.ts"

const memory = shared()
const features = { durable: true, multiProcess: true }
const options: InvoiceStoreContract.Options & OutboxContract.Options = {
  // a call for each of thousands of invoices would take most of the time
  createAll: (invoices) => Effect.provide(createEach(invoices), memory),
  cursorAfter: (head) => `${Number(head) + 1_000}`,
  ageKeys: (millis) => Effect.provide(ageKeys(millis), memory)
}

InvoiceStoreContract.suite("the memory store over RPC", remote(memory), features, options)
OutboxContract.suite("the memory outbox over RPC", remote(memory), features, options)
