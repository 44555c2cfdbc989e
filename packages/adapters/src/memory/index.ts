/** Everything in memory: the store with its outbox, and a broker within the process. */
export * as Broker from "./Broker.ts"
export * as Memory from "./Memory.ts"
