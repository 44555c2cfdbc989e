/** Mutants of the validator, its store and its consumer. */
import type { KafkaClient } from "@invoice/adapters/kafka"
import { type InvoiceStore, type InvoiceValidator, StoreUnavailable } from "@invoice/core"
import { Effect } from "effect"
import type { Mutant } from "./Mutant.ts"

/** The adapter does not see that a join failed, so kafkajs continues after it. */
const hidesFailedJoins = (kafka: KafkaClient): KafkaClient => ({
  producer: (config) => kafka.producer(config),
  admin: () => kafka.admin(),
  consumer: (config) =>
    kafka.consumer({
      ...config,
      partitionAssigners: (config.partitionAssigners ?? []).map((assigner) => (parts) => {
        const find = parts.cluster.findGroupCoordinator.bind(parts.cluster)
        // the adapter's hook on `findGroupCoordinator` still runs, but kafkajs gets the original answer
        const assigned = assigner({
          ...parts,
          cluster: new Proxy(parts.cluster, {
            set: (target, name, value) => {
              if (name !== "findGroupCoordinator") return Reflect.set(target, name, value)
              return Reflect.set(target, name, async (group: Parameters<typeof find>[0]) => {
                const real = await find(group)
                await Reflect.apply(value, target, [group])
                return real
              })
            }
          })
        })
        return assigned
      })
    })
})

const approvesAll = (validator: InvoiceValidator["Service"]): InvoiceValidator["Service"] => ({
  judge: (invoice) =>
    Effect.map(validator.judge(invoice), (verdict) => ({ ...verdict, status: "Approved", violations: [] }))
})

/** Every failure of a decision counts as a refusal of the request, and a read counts as proof that the store writes. */
const blamesRequests = (store: InvoiceStore["Service"]): InvoiceStore["Service"] => ({
  ...store,
  writable: store.ready,
  decide: (decisions) =>
    Effect.mapError(store.decide(decisions), ({ cause }) => new StoreUnavailable({ kind: "permanent", cause }))
})

export const consumerMutants: ReadonlyArray<Mutant> = [
  {
    name: "failed-join-passed-over",
    world: "consumer",
    fault: 7,
    what: "a session goes on after a try to join that failed",
    seed: 18,
    alterations: { kafka: hidesFailedJoins }
  },
  {
    name: "approves-all",
    world: "consumer",
    what: "the validator approves everything",
    seed: 2,
    alterations: { validator: approvesAll }
  },
  {
    name: "rejections-told-as-approved",
    world: "consumer",
    what: "rejections are published as approved",
    seed: 2,
    alterations: { told: (verdict) => ({ ...verdict, status: "Approved" }) }
  },
  {
    name: "outage-blamed-on-requests",
    world: "consumer",
    fault: 11,
    what: "a store that takes no writes counts as one that refuses the invoices",
    seed: 19,
    alterations: { store: blamesRequests }
  }
]
