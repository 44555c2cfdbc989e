/** The ports over Connect, gRPC and gRPC-Web: as a server (`Server`) and as clients. Runs wherever `fetch` does. */

export * as Admission from "./Admission.ts"
export { AmountNotExact, InvoiceAlreadyFinal } from "./Errors.ts"
export * as InvoiceClient from "./InvoiceClient.ts"
export * as OutboxClient from "./OutboxClient.ts"
export * as Server from "./Server.ts"
export * as StoreClient from "./StoreClient.ts"
