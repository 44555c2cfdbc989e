/**
 * What was committed, recorded independently of the outbox: aggregates that count their events, and a ledger that is
 * written in the transaction of each event. The product neither reads nor writes these tables.
 */

import type { Row, Sql } from "../programs/Sql.ts"
import type { Event } from "./Expected.ts"

/** One event that was committed. */
export type Committed = Event

const statements = [
  "create table faults_aggregate (key text primary key, ver bigint not null default 0) with (fillfactor = 50)",
  `create table faults_ledger (id uuid primary key, topic text not null, key text not null, ver bigint not null,
    type text not null, payload bytea not null, at timestamptz not null)`,
  // the shape of the store's statement: the aggregate's row is locked before its event takes a number
  `create function faults_event(topic_ text, key_ text, bytes int) returns void language plpgsql as $$
  declare ver_ bigint; id_ uuid := gen_random_uuid(); at_ timestamptz; payload_ bytea;
  begin
    update faults_aggregate set ver = ver + 1 where key = key_ returning ver into ver_;
    payload_ := convert_to(json_build_object('id', key_, 'ver', ver_, 'pad', repeat('x', bytes))::text, 'UTF8');
    insert into outbox_event (lane, id, topic, key, ver, type, payload, headers)
    values (0, id_, topic_, key_, ver_, 'faults.written', payload_, '{}') returning at into at_;
    insert into faults_ledger values (id_, topic_, key_, ver_, 'faults.written', payload_, at_);
  end $$`,
  `create function faults_events(topic_ text, keys text[]) returns void language plpgsql as $$
  declare key_ text;
  begin
    foreach key_ in array keys loop
      perform faults_event(topic_, key_, 0);
    end loop;
  end $$`,
  // `saved`: writes within a savepoint that is kept; `undone`: writes one more event in a savepoint that is rolled back
  // seconds: `early` from taking a transaction id to the first lock (negative: no early id); `late` before the commit
  `create function faults_write(topic_ text, keys text[], early float8, late float8, saved boolean, undone boolean, undo boolean)
    returns void language plpgsql as $$
  begin
    if early >= 0 then
      perform pg_current_xact_id();
      perform pg_sleep(early);
    end if;
    if saved then
      begin
        perform faults_events(topic_, keys);
      exception when raise_exception then raise;
      end;
    else
      perform faults_events(topic_, keys);
    end if;
    if undone then
      begin
        perform faults_event(topic_, keys[1], 0);
        raise exception 'back to the savepoint';
      exception when raise_exception then null;
      end;
    end if;
    perform pg_sleep(late);
    if undo then
      raise exception 'rolled back on purpose';
    end if;
  end $$`,
  // a backlog in one transaction: count / keys events of each key
  `create function faults_backlog(topic_ text, count_ bigint, keys int, noted boolean) returns void language plpgsql as $$
  declare at_ timestamptz := date_trunc('milliseconds', clock_timestamp());
  begin
    create temporary table made on commit drop as
      select gen_random_uuid() as id, a.key, a.ver + 1 + i / keys as ver, i,
        convert_to(json_build_object('id', a.key, 'ver', a.ver + 1 + i / keys)::text, 'UTF8') as payload
      from generate_series(0, count_ - 1) i join faults_aggregate a on a.key = 'key-' || (i % keys);
    insert into outbox_event (lane, id, topic, key, ver, type, payload, headers, at)
      select 0, id, topic_, key, ver, 'faults.written', payload, '{}', at_ from made order by i;
    insert into faults_ledger select id, topic_, key, ver, 'faults.written', payload, at_ from made where noted;
    update faults_aggregate a set ver = m.ver from (select key, max(ver) as ver from made group by key) m where m.key = a.key;
  end $$`
]

export const keyOf = (index: number | ""): string => `key-${index}`

export const prepare = async (sql: Sql, keys: number): Promise<void> => {
  for (const statement of statements) await sql.query(statement)
  await addKeys(sql, 0, keys)
}

/** Adds the aggregates with the numbers from `from` to `below` - 1. */
export const addKeys = async (sql: Sql, from: number, below: number): Promise<void> => {
  await sql.query(
    "insert into faults_aggregate (key) select 'key-' || i from generate_series($1::int4, $2::int4 - 1) i",
    [from, below]
  )
}

const committedOf = ({ at, id, key, payload, topic, traceparent, type, ver }: Row): Committed => ({
  id: String(id),
  topic: String(topic),
  key: String(key),
  ver: Number(ver),
  type: String(type),
  value: Buffer.from(payload instanceof Uint8Array ? payload : []).toString("latin1"),
  at: at instanceof Date ? at.getTime() : Number.NaN,
  traceparent: typeof traceparent === "string" ? traceparent : undefined
})

/** The events that the writers of this suite have committed. */
export const committed = async (sql: Sql): Promise<ReadonlyArray<Committed>> =>
  (await sql.query("select id, topic, key, ver, type, payload, at from faults_ledger")).map(committedOf)

/** The events that the store has committed with its invoices. */
export const committedByStore = async (sql: Sql): Promise<ReadonlyArray<Committed>> =>
  (
    await sql.query(
      `select id, topic, key, ver, type, payload, at, headers ->> 'traceparent' as traceparent
      from outbox_event where key in (select id::text from invoice)`
    )
  ).map(committedOf)

export const count = async (sql: Sql): Promise<number> =>
  Number((await sql.query("select count(*) as count from faults_ledger"))[0]?.["count"] ?? 0)
