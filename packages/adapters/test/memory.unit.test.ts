import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import * as Memory from "../src/memory/Memory.ts"
import { ageKeys, withState } from "./SharedMemory.ts"

const features = { durable: false, multiProcess: false }

InvoiceStoreContract.suite("the memory store", withState, features, {
  cursorAfter: (head) => `${Number(head) + 1_000}`,
  ageKeys
})
OutboxContract.suite("the memory outbox", Memory.layer, features)
