/** `MessagingContract` has teeth: each broken broker here fails the laws that it breaks. */
import { laws } from "@invoice/testing/MessagingContract"
import { broken, refusable, shared } from "./mutants/BrokenBroker.ts"
import { brokers, refusers, severalInstances } from "./mutants/Brokers.ts"
import { suite } from "./mutants/Suite.ts"

suite({
  name: "a broker that",
  laws: (layer, timeout) => laws(layer, { timeout, refusable }),
  mutants: [...brokers, ...refusers, ...severalInstances],
  sound: () => broken({}, shared())
})
