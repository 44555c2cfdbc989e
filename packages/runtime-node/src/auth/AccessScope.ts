/** What a token may allow. A set of scopes is a number with a bit for each, since every request compares two of them. */

export const scopes = ["invoices:read", "invoices:write", "outbox:admin", "internal"] as const

/**
 * - `invoices:read`: get, list, history, watch and validate.
 * - `invoices:write`: create, import and validate.
 * - `outbox:admin`: ask what waits in the outbox, and send parked events again.
 * - `internal`: for our own programs; it allows everything, and only it opens the store's and the outbox's services.
 */
export type AccessScope = (typeof scopes)[number]

/** Some of the scopes. */
export type ScopeSet = number

export const none: ScopeSet = 0

export const setOf = (...names: ReadonlyArray<AccessScope>): ScopeSet =>
  names.reduce((set, name) => set | (1 << scopes.indexOf(name)), none)

export const every: ScopeSet = setOf(...scopes)

/** The scopes that are among these names; other names mean nothing here. */
export const fromNames = (names: ReadonlyArray<unknown>): ScopeSet =>
  setOf(...scopes.filter((scope) => names.includes(scope)))

export const namesOf = (set: ScopeSet): ReadonlyArray<AccessScope> =>
  scopes.filter((scope) => (set & setOf(scope)) !== 0)

export const overlap = (one: ScopeSet, other: ScopeSet): boolean => (one & other) !== 0

const internal = setOf("internal")

export const isInternal = (set: ScopeSet): boolean => overlap(set, internal)
