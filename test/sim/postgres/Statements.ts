/** The meanings of the adapter's statements on the model: each SQL text of the adapter has one here, by name. */
import type { Server } from "./Server.ts"
import * as Snapshot from "./Snapshot.ts"
import { type Cursor, cellOf, type Event, type Parked } from "./Tables.ts"
import type { Transaction } from "./Transaction.ts"

export interface Session {
  readonly server: Server
  readonly transaction: Transaction
}

type Row = Readonly<Record<string, unknown>>
export type Meaning = (session: Session, parameters: ReadonlyArray<unknown>) => ReadonlyArray<Row>

export class Statements {
  private readonly meanings = new Map<string, Meaning>()
  private readonly names = new Map<string, string>()

  /** @param texts the adapter's SQL texts, by the names of their meanings */
  bind(texts: Readonly<Record<string, string>>, meanings: Readonly<Record<string, Meaning>>): this {
    for (const [name, text] of Object.entries(texts)) {
      const meaning = meanings[name]
      if (meaning === undefined) throw new Error(`nobody knows what the statement ${name} means`)
      this.meanings.set(text, meaning)
      this.names.set(text, name)
    }
    return this
  }

  nameOf(text: string): string {
    return this.names.get(text) ?? text
  }

  run(text: string, session: Session, parameters: ReadonlyArray<unknown>): ReadonlyArray<Row> {
    const meaning = this.meanings.get(text)
    if (meaning === undefined) throw new Error(`the model does not know the statement: ${text}`)
    return meaning(session, parameters)
  }
}

/** The elements of an array parameter of the adapter. */
export const elements = <A>(parameter: unknown): ReadonlyArray<A> => {
  if (Array.isArray(parameter)) return parameter
  if (typeof parameter === "object" && parameter !== null && "value" in parameter && Array.isArray(parameter.value)) {
    return parameter.value
  }
  throw new Error(`not an array: ${JSON.stringify(parameter)}`)
}

const visibleEvents = ({ server, transaction }: Session): ReadonlyArray<Event> =>
  server.tables.events.filter(({ writer }) => writer.state === "committed" || writer === transaction)

const eventColumns = (event: Parked): Row => ({
  id: event.id,
  topic: event.topic,
  key: event.key,
  ver: BigInt(event.ver),
  type: event.type,
  payload: event.payload,
  traceparent: null,
  at: new Date(event.at)
})

/** Identifies the start of the server: its time in microseconds. */
const serverOf = ({ server }: Session): string => String(Math.round(server.startedAt * 1_000))

const serverColumns = (session: Session): Row => ({ standby: false, server: serverOf(session) })

const newestOf = (events: ReadonlyArray<Event>, from: number): string | null => {
  let newest = 0
  for (const { xid } of events) if (xid >= from && xid > newest) newest = xid
  return newest === 0 ? null : String(newest)
}

/** A page: each row has the columns of the page itself too; without events, one row with these columns only. */
const pageOf = (session: Session, hi: string, newest: string | null, events: ReadonlyArray<Event>): Array<Row> => {
  const state = session.server.tables.state.read(session.transaction)
  const common: Row = {
    hi,
    newest,
    emptied_seq: BigInt(state?.emptiedSeq ?? 0),
    emptied_xid: String(state?.emptiedXid ?? 0),
    ...serverColumns(session)
  }
  return events.length === 0
    ? [{ ...common, seq: null }]
    : events.map((event) => ({ ...common, seq: BigInt(event.seq), ...eventColumns(event) }))
}

/** @param ofLane whether the last parameter is a lane */
export const tail =
  (ofLane: boolean): Meaning =>
  (session, [lo, limit, lane]) => {
    const from = Snapshot.parse(String(lo))
    const events = visibleEvents(session)
    const found = events.filter(
      (event) => (event.xid >= from.xmax || from.xip.includes(event.xid)) && (!ofLane || event.lane === Number(lane))
    )
    const hi = Snapshot.format(session.server.snapshot(session.transaction))
    return pageOf(session, hi, newestOf(events, from.xmax), found.slice(0, Number(limit)))
  }

/** As `tail` of all lanes, up to the snapshot that is the last parameter. */
const upTo: Meaning = (session, [lo, limit, hi]) => {
  const end = Snapshot.parse(String(hi))
  const from = Snapshot.parse(String(lo))
  const events = visibleEvents(session)
  const found = events.filter(({ xid }) => (xid >= from.xmax || from.xip.includes(xid)) && Snapshot.sees(end, xid))
  const now = Snapshot.format(session.server.snapshot(session.transaction))
  return pageOf(session, now, newestOf(events, from.xmax), found.slice(0, Number(limit)))
}

export const rest =
  (ofLane: boolean): Meaning =>
  (session, [lo, limit, hi, pos, lane]) => {
    const from = Snapshot.parse(String(lo))
    const to = Snapshot.parse(String(hi))
    const found = visibleEvents(session).filter(
      (event) =>
        event.seq > Number(pos) &&
        (!ofLane || event.lane === Number(lane)) &&
        !Snapshot.sees(from, event.xid) &&
        Snapshot.sees(to, event.xid)
    )
    return pageOf(session, String(hi), null, found.slice(0, Number(limit)))
  }

const cursorAt = ({ server, transaction }: Session, lane: unknown): Cursor | undefined =>
  server.tables.cursors.get(Number(lane))?.read(transaction)

/** Locks the lane's row, and reads it after that. */
const locked = (session: Session, lane: unknown): Cursor | undefined => {
  const { server, transaction } = session
  const cell = server.tables.cursors.get(Number(lane))
  if (cell === undefined) return undefined
  server.lock(transaction, cell)
  return cell.read(transaction)
}

/** The text by which the adapter recognises a lease that it watches: its epoch and its end. */
const leaseOf = ({ epoch, leaseUntil }: Cursor): string | null =>
  leaseUntil === null ? null : `${epoch} ${leaseUntil}`

const acquireLane: Meaning = (session, [lane, owner, millis, watched]) => {
  const { server, transaction } = session
  const isFree = (cursor: Cursor): boolean =>
    cursor.owner === null ||
    cursor.owner === owner ||
    (cursor.leaseUntil !== null && cursor.leaseUntil < server.clock) ||
    (watched !== null && leaseOf(cursor) === watched)
  const state = server.tables.state.read(transaction)
  const found = cursorAt(session, lane)
  const known =
    found === undefined ? null : Snapshot.parse(found.hi ?? found.lo).xmax <= server.snapshot(transaction).xmax
  const answer = {
    expected: state?.systemIdentifier,
    found: state?.systemIdentifier,
    known,
    held: found === undefined ? null : leaseOf(found),
    lease_millis: found?.leaseMillis ?? null,
    epoch: null,
    lo: null,
    hi: null,
    pos: null,
    ...serverColumns(session)
  }
  if (found === undefined || known !== true || !isFree(found)) return [answer]
  const cursor = locked(session, lane)
  const cell = server.tables.cursors.get(Number(lane))
  if (cursor === undefined || cell === undefined || !isFree(cursor)) return [answer]
  const taken = {
    ...cursor,
    epoch: cursor.epoch + 1,
    owner: String(owner),
    leaseUntil: server.clock + Number(millis),
    leaseMillis: Number(millis)
  }
  server.write(transaction, cell, taken)
  return [{ ...answer, epoch: String(taken.epoch), lo: taken.lo, hi: taken.hi, pos: taken.pos?.toString() ?? null }]
}

/** Whether the epoch and the owner hold the lane's lease; a mutant may replace this check. */
export type IsHolder = (cursor: Cursor, epoch: unknown, owner: unknown) => boolean

export const isHolder: IsHolder = (cursor, epoch, owner) => cursor.epoch === Number(epoch) && cursor.owner === owner

/** Changes the lane's row for its holder. */
const fenced =
  (isHolder: IsHolder, change: (session: Session, cursor: Cursor, parameters: ReadonlyArray<unknown>) => Cursor) =>
  (session: Session, [lane, epoch, owner, ...parameters]: ReadonlyArray<unknown>): ReadonlyArray<Row> => {
    const { server, transaction } = session
    const before = cursorAt(session, lane)
    if (before === undefined || !isHolder(before, epoch, owner)) return []
    const cursor = locked(session, lane)
    const cell = server.tables.cursors.get(Number(lane))
    if (cell === undefined || cursor === undefined || !isHolder(cursor, epoch, owner)) return []
    server.write(transaction, cell, change(session, cursor, parameters))
    return [{ lane: Number(lane) }]
  }

const renewLane = (holds: IsHolder): Meaning =>
  fenced(holds, ({ server }, cursor, [millis]) => ({
    ...cursor,
    leaseUntil: server.clock + Number(millis),
    leaseMillis: Number(millis)
  }))

const releaseLane = (holds: IsHolder): Meaning =>
  fenced(holds, (_, cursor) => ({ ...cursor, owner: null, leaseUntil: null, leaseMillis: null }))

const commitPosition =
  (holds: IsHolder): Meaning =>
  (session, parameters) => {
    const [, , , lo, hi, pos, server] = parameters
    if (server !== null && server !== serverOf(session)) return []
    // `synchronous_commit` is off for this statement
    session.transaction.isSynchronous = false
    return fenced(holds, (_, cursor) => ({
      ...cursor,
      lo: String(lo),
      hi: hi === null ? null : String(hi),
      pos: pos === null ? null : Number(pos)
    }))(session, parameters)
  }

const parkEvents =
  (holds: IsHolder): Meaning =>
  (session, [lane, epoch, owner, reason, endsReplay, ...columns]) => {
    const { server, transaction } = session
    const cursor = locked(session, lane)
    if (cursor === undefined || !holds(cursor, epoch, owner)) return []
    const [ids = [], topics, keys, vers, types, payloads, , ats] = columns.map(elements<unknown>)
    for (const key of new Set(keys?.map(String))) {
      const cell = cellOf(server.tables.parkedKeys, key)
      server.lock(transaction, cell)
      const before = cell.read(transaction) ?? { reason: String(reason), since: server.clock, replay: false }
      server.write(
        transaction,
        cell,
        endsReplay === true ? { ...before, replay: false, reason: String(reason) } : before
      )
    }
    for (const [index, id] of ids.entries()) {
      const cell = cellOf(server.tables.parked, String(id))
      server.lock(transaction, cell)
      if (cell.read(transaction) !== undefined) continue
      server.write(transaction, cell, {
        lane: Number(lane),
        id: String(id),
        topic: String(topics?.[index]),
        key: String(keys?.[index]),
        ver: Number(vers?.[index]),
        type: String(types?.[index]),
        payload: payloads?.[index] as Uint8Array,
        at: Date.parse(String(ats?.[index]))
      })
    }
    return [{ lane: Number(lane) }]
  }

const parkedOf = ({ server, transaction }: Session): ReadonlyArray<Parked> =>
  [...server.tables.parked.values()].flatMap((cell) => cell.read(transaction) ?? [])

const selectParked: Meaning = (session) => {
  const { server, transaction } = session
  const parked = parkedOf(session)
  return [...server.tables.parkedKeys].flatMap(([key, cell]) => {
    const row = cell.read(transaction)
    return row === undefined
      ? []
      : [
          {
            key,
            reason: row.reason,
            since: new Date(row.since),
            replay: row.replay,
            events: parked.filter((event) => event.key === key).length
          }
        ]
  })
}

const requestReplay: Meaning = (session, [key]) => {
  const { server, transaction } = session
  const cell = server.tables.parkedKeys.get(String(key))
  const before = cell?.read(transaction)
  if (cell === undefined || before === undefined) return [{ events: 0 }]
  server.lock(transaction, cell)
  const row = cell.read(transaction)
  if (row !== undefined) server.write(transaction, cell, { ...row, replay: true })
  return [{ events: parkedOf(session).filter((event) => event.key === key).length }]
}

const byKeyAndVersion = (one: Parked, other: Parked): number =>
  one.key < other.key ? -1 : one.key > other.key ? 1 : one.ver - other.ver

const selectReplayable: Meaning = (session, [lane, limit]) => {
  const { server, transaction } = session
  return parkedOf(session)
    .filter(
      (event) => event.lane === Number(lane) && server.tables.parkedKeys.get(event.key)?.read(transaction)?.replay
    )
    .sort(byKeyAndVersion)
    .slice(0, Number(limit))
    .map(eventColumns)
}

const deleteParked =
  (holds: IsHolder): Meaning =>
  (session, [lane, epoch, owner, ids]) => {
    const { server, transaction } = session
    const cursor = locked(session, lane)
    if (cursor === undefined || !holds(cursor, epoch, owner)) return []
    for (const id of elements<string>(ids)) {
      const cell = server.tables.parked.get(id)
      if (cell === undefined) continue
      server.lock(transaction, cell)
      server.write(transaction, cell, undefined)
    }
    return [{ lane: Number(lane) }]
  }

const deleteEmptyKeys: Meaning = (session, [keys]) => {
  const { server, transaction } = session
  const parked = parkedOf(session)
  for (const key of elements<string>(keys)) {
    const cell = server.tables.parkedKeys.get(key)
    if (cell?.read(transaction) === undefined || parked.some((event) => event.key === key)) continue
    server.lock(transaction, cell)
    server.write(transaction, cell, undefined)
  }
  return []
}

const selectLanes: Meaning = (session) =>
  [...session.server.tables.cursors].flatMap(([lane, cell]) => {
    const cursor = cell.read(session.transaction)
    return cursor === undefined
      ? []
      : [
          {
            lane,
            owner: (cursor.leaseUntil ?? 0) > session.server.clock ? cursor.owner : null,
            epoch: String(cursor.epoch),
            lo: cursor.lo,
            hi: cursor.hi,
            pos: cursor.pos?.toString() ?? null,
            server: serverOf(session),
            events: 0,
            seconds: 0
          }
        ]
  })

const selectHead: Meaning = (session) => {
  const state = session.server.tables.state.read(session.transaction)
  const newest = newestOf(visibleEvents(session), 0)
  return [
    {
      hi: Snapshot.format(session.server.snapshot(session.transaction)),
      newest: String(Math.max(Number(newest ?? 0), state?.emptiedXid ?? 0)),
      ...serverColumns(session)
    }
  ]
}

/** The meanings of the statements of `PostgresOutbox`. */
export const outbox = (holds: IsHolder = isHolder) =>
  ({
    readTail: tail(true),
    readRest: rest(true),
    acquireLane,
    renewLane: renewLane(holds),
    releaseLane: releaseLane(holds),
    commitPosition: commitPosition(holds),
    parkEvents: parkEvents(holds),
    selectParked,
    requestReplay,
    selectReplayable,
    deleteParked: deleteParked(holds),
    deleteEmptyKeys,
    selectLanes,
    selectOldestTransaction: () => [{ seconds: 0 }]
  }) satisfies Record<string, Meaning>

/** The meanings of the statements of `PostgresChanges`. */
export const changes = { tail: tail(false), upTo, rest: rest(false), head: selectHead } satisfies Record<
  string,
  Meaning
>
