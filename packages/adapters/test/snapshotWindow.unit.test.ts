/** Positions against a model of a database that crashes: transaction ids, commits, flushes, and recovery. */
import { assert, describe, it } from "@effect/vitest"
import * as SnapshotWindow from "../src/postgres/SnapshotWindow.ts"

/** Chances that come again with the seed (mulberry32). */
const randomOf = (seed: number) => {
  let state = seed | 0
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

interface Event {
  readonly seq: bigint
  readonly xid: bigint
}

/**
 * Events are visible once their commit is flushed. A rollback, and a transaction without events that nobody waited for,
 * leave nothing in the log until the next flush; after a crash their ids are handed out again.
 */
class Database {
  private next = 10n
  private flushed = 10n
  private sequence = 0n
  private readonly running = new Map<bigint, Array<Event>>()
  readonly events: Array<Event> = []

  begin(): bigint {
    const xid = this.next++
    this.running.set(xid, [])
    return xid
  }

  get open(): ReadonlyArray<bigint> {
    return [...this.running.keys()]
  }

  write(xid: bigint): void {
    this.running.get(xid)?.push({ seq: ++this.sequence, xid })
  }

  commit(xid: bigint): void {
    const written = this.running.get(xid) ?? []
    this.running.delete(xid)
    this.events.push(...written)
    // every record before the commit is flushed with it: each id up to the highest that wrote something
    if (written.length > 0 && xid >= this.flushed) this.flushed = xid + 1n
  }

  rollback(xid: bigint): void {
    this.running.delete(xid)
  }

  crash(): void {
    this.running.clear()
    this.next = this.flushed
  }

  get snapshot(): string {
    const open = this.open.toSorted((a, b) => (a < b ? -1 : 1))
    return `${open[0] ?? this.next}:${this.next}:${open.join(",")}`
  }
}

const isVisible = (xid: bigint, snapshot: string): boolean =>
  xid < SnapshotWindow.xmaxOf(snapshot) && !(snapshot.split(":")[2] ?? "").split(",").includes(String(xid))

/** What `tail` and `rest` answer. */
const answer = (
  database: Database,
  position: SnapshotWindow.Position,
  limit: number
): ReadonlyArray<SnapshotWindow.Row> => {
  const { lo, window } = position
  const behind = database.events.filter(({ xid }) => xid >= SnapshotWindow.xmaxOf(lo)).map(({ xid }) => xid)
  const newest = behind.reduce((a, b) => (a > b ? a : b), 0n)
  const row = {
    hi: window?.hi ?? database.snapshot,
    newest: window !== undefined || behind.length === 0 ? null : String(newest),
    emptied_seq: 0n,
    emptied_xid: "0",
    standby: false,
    server: "1"
  }
  const found = database.events
    .filter(({ seq, xid }) => !isVisible(xid, lo) && isVisible(xid, row.hi) && seq > BigInt(window?.pos ?? 0))
    .toSorted((a, b) => (a.seq < b.seq ? -1 : 1))
    .slice(0, limit)
  return found.length === 0 ? [{ ...row, seq: null }] : found.map(({ seq }) => ({ ...row, seq }))
}

/** Reads a page; answers the next position. */
const readPage = (database: Database, position: string, limit: number, into: Array<bigint>): string => {
  const at = SnapshotWindow.parse(position)
  const rows = answer(database, at, limit)
  assert.isUndefined(SnapshotWindow.unusable(at, rows[0]))
  const page = SnapshotWindow.page(at, limit, rows)
  into.push(...page.rows.flatMap(({ seq }) => seq ?? []))
  return page.next
}

const step = (database: Database, random: (below: number) => number): void => {
  const open = database.open
  const one = open[random(Math.max(1, open.length))]
  switch (random(8)) {
    case 0:
    case 1:
      database.begin()
      break
    case 2:
    case 3:
      if (one !== undefined) database.write(one)
      break
    case 4:
    case 5:
      if (one !== undefined) database.commit(one)
      break
    case 6:
      if (one !== undefined) database.rollback(one)
      break
    default:
      if (random(4) === 0) database.crash()
  }
}

describe("a position", () => {
  it("skips and repeats no event, whatever commits, rolls back and crashes", () => {
    for (let seed = 0; seed < 3_000; seed++) {
      const random = randomOf(seed)
      const database = new Database()
      const seen: Array<bigint> = []
      let position = SnapshotWindow.beginning
      for (let count = 0; count < 60; count++) {
        step(database, random)
        if (random(3) === 0) position = readPage(database, position, 1 + random(3), seen)
      }
      for (const xid of database.open) database.commit(xid)
      for (let before = ""; before !== position || SnapshotWindow.parse(position).window !== undefined; ) {
        before = position
        position = readPage(database, position, 2, seen)
      }
      const all = database.events.map(({ seq }) => seq).toSorted((a, b) => (a < b ? -1 : 1))
      assert.deepStrictEqual(
        seen.toSorted((a, b) => (a < b ? -1 : 1)),
        all,
        `seed ${seed}`
      )
    }
  })

  it("stays where it is while nothing but other transactions happens", () => {
    const database = new Database()
    const xid = database.begin()
    database.write(xid)
    database.commit(xid)
    const position = readPage(database, SnapshotWindow.beginning, 10, [])
    for (let count = 0; count < 5; count++) database.commit(database.begin())
    assert.strictEqual(readPage(database, position, 10, []), position)
  })

  it("forgets a transaction that a crash ended", () => {
    const database = new Database()
    database.begin()
    const later = database.begin()
    database.write(later)
    database.commit(later)
    const position = readPage(database, SnapshotWindow.beginning, 10, [])
    assert.strictEqual(position, "10:12:10")
    database.crash()
    assert.strictEqual(readPage(database, position, 10, []), "12:12:")
  })

  it("is doubted on a hot standby, and on a database that ends before it", () => {
    const [row] = answer(new Database(), SnapshotWindow.parse(SnapshotWindow.beginning), 1)
    assert.isDefined(row)
    assert.include(SnapshotWindow.unusable(SnapshotWindow.parse("3:3:"), { ...row, standby: true }), "standby")
    assert.include(SnapshotWindow.unusable(SnapshotWindow.parse("99:99:"), row), "behind the position")
    assert.isUndefined(SnapshotWindow.unusable(SnapshotWindow.parse("3:3:"), row))
  })

  it("is the head behind the newest event, and behind what was emptied", () => {
    const head = (newest: string) => SnapshotWindow.head({ hi: "5:20:5,9", newest, standby: false })
    assert.strictEqual(head("0"), "3:3:")
    assert.strictEqual(head("7"), "5:8:5")
    assert.strictEqual(head("12"), "5:13:5,9")
  })
})
