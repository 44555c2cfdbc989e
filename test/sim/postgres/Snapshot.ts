/**
 * The value of `pg_current_snapshot()`: which transactions are visible. Ids are numbers, since a run uses only a few.
 */
export interface Snapshot {
  /** All lower ids have ended. */
  readonly xmin: number
  /** The newest id that has ended + 1; this id and higher ones are not visible. */
  readonly xmax: number
  /** The ids in progress between the two, rising. */
  readonly xip: ReadonlyArray<number>
}

export const format = ({ xip, xmax, xmin }: Snapshot): string => `${xmin}:${xmax}:${xip.join(",")}`

export const parse = (text: string): Snapshot => {
  const [xmin = "", xmax = "", xip = ""] = text.split(":")
  const snapshot = {
    xmin: Number(xmin),
    xmax: Number(xmax),
    xip: xip === "" ? [] : xip.split(",").map(Number)
  }
  if (!Number.isSafeInteger(snapshot.xmin) || !Number.isSafeInteger(snapshot.xmax) || snapshot.xmin < 1) {
    throw new Error(`invalid input syntax for type pg_snapshot: "${text}"`)
  }
  return snapshot
}

/** `pg_visible_in_snapshot` */
export const sees = ({ xip, xmax, xmin }: Snapshot, xid: number): boolean =>
  xid < xmin || (xid < xmax && !xip.includes(xid))
