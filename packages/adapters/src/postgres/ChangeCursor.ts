/**
 * A position of `SnapshotWindow` as the cursor that clients keep: at most 1,024 characters, safe in URLs and headers.
 *
 * `<lo>`, or `<lo>.<hi>.<pos>` within a window. A snapshot is in base64url (RFC 4648, section 5), of numbers as varints:
 * xmin, xmax - xmin, and the transactions in progress in the shorter of two ways: the distance from each to the next,
 * or the distance to the next and 32 bits for those that follow it. So many transactions may be in progress as Postgres
 * has connections, and only a snapshot with more than about 360 that lie far apart does not fit.
 */
import * as SnapshotWindow from "./SnapshotWindow.ts"

/** Most characters of a cursor. */
export const maxLength = 1_024

/** Most characters of each of the two snapshots; the rest is for the position in the window. */
const maxSnapshot = 504

const pattern = /^([\w-]+)(?:\.([\w-]+)\.([0-9a-z]{1,12}))?$/u

/**
 * As cursors were before: the snapshots as Postgres writes them. Clients may still have one. Those that are longer than
 * `maxLength`, of some 90 transactions in progress and more, are no longer read.
 */
const textPattern = /^(\d{1,19}):(\d{1,19}):([\d,]*)(?:\|(\d{1,19}:\d{1,19}:[\d,]*)\|(\d{1,18}))?$/u

const pushVarint = (bytes: Array<number>, value: bigint): void => {
  let rest = value
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  bytes.push(Number(rest))
}

/** Reads numbers from bytes; throws a `RangeError` behind their end. */
class Reader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length
  }

  byte(): number {
    const byte = this.bytes[this.at++]
    if (byte === undefined) throw new RangeError("the cursor is cut off")
    return byte
  }

  varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte()
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
    throw new RangeError("a number of the cursor is too large")
  }
}

const distances = 0
const chunks = 1

/** Each id as its distance from the one before. */
const byDistance = (xmin: bigint, xip: ReadonlyArray<bigint>): ReadonlyArray<number> => {
  const bytes: Array<number> = [distances]
  let before = xmin
  for (const xid of xip) {
    pushVarint(bytes, xid - before)
    before = xid
  }
  return bytes
}

/** An id as its distance from the end of the chunk before, and 32 bits for the ids behind it. */
const byChunk = (xmin: bigint, xip: ReadonlyArray<bigint>): ReadonlyArray<number> => {
  const bytes: Array<number> = [chunks]
  let end = xmin
  for (let index = 0; index < xip.length; ) {
    const first = xip[index++] ?? 0n
    pushVarint(bytes, first - end)
    end = first + 33n
    let mask = 0
    for (let xid = xip[index]; xid !== undefined && xid < end; xid = xip[++index]) {
      mask |= 1 << Number(xid - first - 1n)
    }
    bytes.push(mask & 255, (mask >> 8) & 255, (mask >> 16) & 255, (mask >> 24) & 255)
  }
  return bytes
}

/** Undefined when it would be too long. */
const encodeSnapshot = (snapshot: string): string | undefined => {
  const [xmin = 0n, xmax = 0n] = [SnapshotWindow.xminOf(snapshot), SnapshotWindow.xmaxOf(snapshot)]
  const xip = SnapshotWindow.xipOf(snapshot)
  const bytes: Array<number> = []
  pushVarint(bytes, xmin)
  pushVarint(bytes, xmax - xmin)
  if (xip.length > 0) {
    const [one, other] = [byDistance(xmin, xip), byChunk(xmin, xip)]
    bytes.push(...(one.length <= other.length ? one : other))
  }
  const text = Buffer.from(bytes).toString("base64url")
  return text.length > maxSnapshot ? undefined : text
}

const decodeSnapshot = (text: string): string => {
  const reader = new Reader(Buffer.from(text, "base64url"))
  const xmin = reader.varint()
  const xmax = xmin + reader.varint()
  const xip: Array<bigint> = []
  const way = reader.isAtEnd ? undefined : reader.byte()
  let end = xmin
  while (!reader.isAtEnd) {
    const first = end + reader.varint()
    xip.push(first)
    end = first
    if (way === chunks) {
      end = first + 33n
      const mask = reader.byte() | (reader.byte() << 8) | (reader.byte() << 16) | (reader.byte() << 24)
      for (let bit = 0; bit < 32; bit++) if ((mask & (1 << bit)) !== 0) xip.push(first + 1n + BigInt(bit))
    }
  }
  return `${xmin}:${xmax}:${xip.join(",")}`
}

/** What Postgres accepts as a snapshot: 0 < xmin ≤ xmax, and the ids in progress rise from xmin and stay below xmax. */
const isSnapshot = (text: string): boolean => {
  const [xmin = "", xmax = "", xip = ""] = text.split(":")
  const inProgress = xip === "" ? [] : xip.split(",")
  const ids = [xmin, ...inProgress, xmax]
  return (
    BigInt(xmin) > 0n &&
    ids.every((id, index) => /^\d{1,19}$/u.test(id) && (index === 0 || BigInt(id) >= BigInt(ids[index - 1] ?? 0))) &&
    BigInt(xmax) < 2n ** 63n &&
    (inProgress.length === 0 || BigInt(inProgress.at(-1) ?? 0) < BigInt(xmax))
  )
}

/** Makes the cursors of a window's rows, and the one behind it; undefined when they would be too long. */
export const ofWindow = (
  lo: string,
  hi: string
): { readonly at: (pos: bigint | string) => string; readonly end: string } | undefined => {
  const [begin, end] = [encodeSnapshot(lo), encodeSnapshot(hi)]
  return begin === undefined || end === undefined
    ? undefined
    : { at: (pos) => `${begin}.${end}.${BigInt(pos).toString(36)}`, end }
}

/** The cursor of a snapshot; undefined when it would be too long. */
export const ofSnapshot = encodeSnapshot

const parseText = (cursor: string): SnapshotWindow.Position | undefined => {
  if (!textPattern.test(cursor)) return undefined
  const position = SnapshotWindow.parse(cursor)
  return isSnapshot(position.lo) && (position.window === undefined || isSnapshot(position.window.hi))
    ? position
    : undefined
}

const parseCompact = (cursor: string): SnapshotWindow.Position | undefined => {
  const [, lo, hi, pos] = pattern.exec(cursor) ?? []
  if (lo === undefined) return undefined
  try {
    return SnapshotWindow.parse(
      SnapshotWindow.format(
        decodeSnapshot(lo),
        hi === undefined ? null : decodeSnapshot(hi),
        pos === undefined ? null : BigInt(Number.parseInt(pos, 36)).toString()
      )
    )
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** The position of a cursor, whoever made it; undefined when this adapter never makes such a cursor. */
export const parse = (cursor: string): SnapshotWindow.Position | undefined => {
  if (cursor.length > maxLength) return undefined
  if (cursor.includes(":")) {
    const position = parseText(cursor)
    // else the cursors of its changes could not be made
    return position !== undefined && ofWindow(position.lo, position.window?.hi ?? position.lo) !== undefined
      ? position
      : undefined
  }
  const position = parseCompact(cursor)
  if (position === undefined || !isSnapshot(position.lo)) return undefined
  const { lo, window } = position
  if (window !== undefined && !isSnapshot(window.hi)) return undefined
  // only one text stands for a position
  const again = window === undefined ? encodeSnapshot(lo) : ofWindow(lo, window.hi)?.at(window.pos)
  return again === cursor ? position : undefined
}
