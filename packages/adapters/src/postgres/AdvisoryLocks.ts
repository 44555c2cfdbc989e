/**
 * The numbers of this project's advisory locks. They are one space for a whole database, so two that are the same make
 * those who take them wait for one another. Any number will do, as long as every process uses the same.
 */

/** Held while the schema is brought up to date. */
export const migrations = 4_021_000

/** Held while partitions of the outbox are made. */
export const leaves = 4_021_001

/** Held while the inbox's tables are made. */
export const inbox = 4_021_002
