/** `OutboxContract` has teeth: each broken outbox here fails the laws that it breaks. */
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { holders, severalInstances } from "./mutants/OutboxLeases.ts"
import { parking } from "./mutants/OutboxParking.ts"
import { counters, readers } from "./mutants/OutboxReads.ts"
import { suite } from "./mutants/Suite.ts"
import { shared } from "./SharedMemory.ts"

suite({
  name: "an outbox that",
  laws: (layer, timeout) => OutboxContract.laws(layer, { timeout }),
  mutants: [...readers, ...counters, ...holders, ...parking, ...severalInstances],
  sound: shared
})
