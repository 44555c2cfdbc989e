/** Postgres: the invoice store and the outbox, and the migrations that they need. */
export * as Migrations from "./Migrations.ts"
export * as PostgresOutbox from "./PostgresOutbox.ts"
export * as PostgresStore from "./PostgresStore.ts"
