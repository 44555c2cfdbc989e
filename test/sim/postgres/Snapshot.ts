/** What `pg_current_snapshot()` answers: which transactions are seen. Ids are numbers here; no run uses many of them. */
export interface Snapshot {
  /** Everything below is over. */
  readonly xmin: number
  /** One above the newest that is over; nothing from here on is seen. */
  readonly xmax: number
  /** In progress between the two, rising. */
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
