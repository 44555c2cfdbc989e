/** `InvoiceStoreContract` has teeth: each broken store here fails the laws that it breaks. */
import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import { contents } from "./mutants/StoreContents.ts"
import { changes, lists, severalInstances } from "./mutants/StoreReads.ts"
import { creations, decisions } from "./mutants/StoreWrites.ts"
import { suite } from "./mutants/Suite.ts"
import { ageKeys, shared } from "./SharedMemory.ts"

suite({
  name: "a store that",
  laws: (layer, timeout) =>
    InvoiceStoreContract.laws(layer, { timeout, ageKeys, cursorAfter: (head) => `${Number(head) + 1_000}` }),
  mutants: [...contents, ...creations, ...decisions, ...lists, ...changes, ...severalInstances],
  sound: shared
})
