/** Postgres: the invoice store, the outbox, an inbox for consumers of your own, and the migrations that they need. */
export * as Inbox from "./Inbox.ts"
export * as Migrations from "./Migrations.ts"
export * as OutboxAdmin from "./OutboxAdmin.ts"
export * as PostgresOutbox from "./PostgresOutbox.ts"
export * as PostgresStore from "./PostgresStore.ts"
