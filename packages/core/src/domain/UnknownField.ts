/**
 * Fields that a contract doesn't know. They are refused, because a client that writes `amuont` must not find out months
 * later that the field was dropped. Each violation suggests the known name that may be meant.
 */
import type { Violation } from "./Violation.ts"

/** The maximum number of unknown fields listed for one object; there may be more. */
export const limit = 20

/** The maximum length shown of a name, in UTF-16 code units. */
const shownLength = 64

/** Longer names are never compared: the time for that grows with the length. */
const comparedLength = 64

/** A set or a map of the names that are known. */
export interface Names {
  readonly has: (name: string) => boolean
  readonly keys: () => Iterable<string>
}

/**
 * The fields of `record` that are not among `known`, in its order, up to `limit`: `INV-FIELD` with a JSON pointer below
 * `path`. A field whose value is `undefined` isn't there.
 */
export const find = (
  record: Readonly<Record<string, unknown>>,
  known: Names,
  path: string
): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  for (const name of Object.keys(record)) {
    if (!known.has(name) && record[name] !== undefined) {
      found.push(violation(name, known, path))
      if (found.length === limit) break
    }
  }
  return found
}

const violation = (name: string, known: Names, path: string): Violation => {
  const meant = nearest(name, known.keys())
  return {
    code: "INV-FIELD",
    severity: "error",
    path: `${path}/${token(name)}`,
    message: `unknown field${meant === undefined ? "" : `, did you mean ${meant}?`}`
  }
}

/** The name as a reference token (RFC 6901, section 3); a long one is cut and can't be resolved. */
const token = (name: string): string => {
  const shown = name.length > shownLength ? `${name.slice(0, shownLength - 1)}…` : name
  return shown.toWellFormed().replaceAll("~", "~0").replaceAll("/", "~1")
}

/**
 * The known name that a name is probably a misspelling of: at most a third of the longer name's letters are wrong,
 * missing, superfluous or swapped with their neighbour. Upper and lower case, spaces, `_` and `-` make no difference,
 * so that `unitPrice` finds `unit_price`.
 */
export const nearest = (name: string, known: Iterable<string>): string | undefined => {
  const letters = name.length > comparedLength ? "" : simplified(name)
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of letters === "" ? [] : known) {
    const other = simplified(candidate)
    const edits = distance(letters, other)
    // of two candidates with equally many edits the one whose spelling is closer wins
    const score = edits + distance(name, candidate) / 1_000
    if (score < least && edits <= Math.floor(Math.max(letters.length, other.length) / 3)) {
      best = candidate
      least = score
    }
  }
  return best
}

const simplified = (name: string): string => name.replace(/[_\s-]/gu, "").toLowerCase()

/** Optimal string alignment: insertions, deletions, substitutions, and swaps of neighbours. */
const distance = (from: string, to: string): number => {
  let beforeLast: ReadonlyArray<number> = []
  let last: ReadonlyArray<number> = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const row: Array<number> = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      row.push(
        Math.min(
          at(last, j) + 1,
          at(row, j - 1) + 1,
          at(last, j - 1) + (same ? 0 : 1),
          swapped ? at(beforeLast, j - 2) + 1 : Number.POSITIVE_INFINITY
        )
      )
    }
    beforeLast = last
    last = row
  }
  return at(last, to.length)
}

const at = (row: ReadonlyArray<number>, index: number): number => row[index] ?? Number.POSITIVE_INFINITY
