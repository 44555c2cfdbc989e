/** Contract suites and generators for authors of adapters. */
export * as Generators from "./Generators.ts"
export * as InvoiceStoreContract from "./InvoiceStoreContract.ts"
export * as InvoiceValidatorContract from "./InvoiceValidatorContract.ts"
export * as MessagingContract from "./MessagingContract.ts"
export * as OutboxContract from "./OutboxContract.ts"
