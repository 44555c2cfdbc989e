/** How arrays are handed to a statement. */
import { PgTypes } from "@effect/sql-pg"
import { Result } from "effect"

const array =
  (oid: number) =>
  (values: ReadonlyArray<unknown>): PgTypes.Parameter =>
    Result.getOrThrow(PgTypes.array(values, oid))

export const uuids = array(PgTypes.OID.uuid)
export const texts = array(PgTypes.OID.text)
export const numerics = array(PgTypes.OID.numeric)
export const integers = array(PgTypes.OID.int4)
export const bigints = array(PgTypes.OID.int8)
export const byteas = array(PgTypes.OID.bytea)
