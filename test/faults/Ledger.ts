/**
 * What was committed, kept beside the outbox: aggregates that count their events, and a ledger that is written in the
 * transaction of each event. Nothing of the product reads or writes it.
 */
import type { Sql } from "./Sql.ts"

/** One event that was committed. */
export interface Committed {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly ver: number
}

const statements = [
  "create table faults_aggregate (key text primary key, ver bigint not null default 0) with (fillfactor = 50)",
  "create table faults_ledger (id uuid primary key, topic text not null, key text not null, ver bigint not null)",
  // the shape of the store's statement: the aggregate's row is locked before its event takes a number
  `create function faults_event(topic_ text, key_ text, bytes int) returns void language plpgsql as $$
  declare ver_ bigint; id_ uuid := gen_random_uuid();
  begin
    update faults_aggregate set ver = ver + 1 where key = key_ returning ver into ver_;
    insert into outbox_event (lane, id, topic, key, ver, type, payload, headers)
    values (0, id_, topic_, key_, ver_, 'faults.written',
      convert_to(json_build_object('id', key_, 'ver', ver_, 'pad', repeat('x', bytes))::text, 'UTF8'), '{}');
    insert into faults_ledger (id, topic, key, ver) values (id_, topic_, key_, ver_);
  end $$`,
  `create function faults_events(topic_ text, keys text[]) returns void language plpgsql as $$
  declare key_ text;
  begin
    foreach key_ in array keys loop
      perform faults_event(topic_, key_, 0);
    end loop;
  end $$`,
  // `saved`: within a savepoint that is kept
  // seconds: `early` between taking a transaction id and the first lock, none when negative; `late` before the commit
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
  // a backlog at once: count / keys events of each key
  `create function faults_backlog(topic_ text, count_ bigint, keys int, noted boolean) returns void language plpgsql as $$
  begin
    create temporary table made on commit drop as
      select gen_random_uuid() as id, 'key-' || (i % keys) as key, a.ver + 1 + i / keys as ver, i
      from generate_series(0, count_ - 1) i join faults_aggregate a on a.key = 'key-' || (i % keys);
    insert into outbox_event (lane, id, topic, key, ver, type, payload, headers)
      select 0, id, topic_, key, ver, 'faults.written',
        convert_to(json_build_object('id', key, 'ver', ver)::text, 'UTF8'), '{}' from made order by i;
    insert into faults_ledger (id, topic, key, ver) select id, topic_, key, ver from made where noted;
    update faults_aggregate a set ver = m.ver from (select key, max(ver) as ver from made group by key) m where m.key = a.key;
  end $$`
]

export const keyOf = (index: number): string => `key-${index}`

export const prepare = async (sql: Sql, keys: number): Promise<void> => {
  for (const statement of statements) await sql.query(statement)
  await addKeys(sql, 0, keys)
}

/** More aggregates, from one number on, below another. */
export const addKeys = async (sql: Sql, from: number, below: number): Promise<void> => {
  await sql.query(
    "insert into faults_aggregate (key) select 'key-' || i from generate_series($1::int4, $2::int4 - 1) i",
    [from, below]
  )
}

const committedOf = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>): ReadonlyArray<Committed> =>
  rows.map(({ id, key, topic, ver }) => ({ id: String(id), topic: String(topic), key: String(key), ver: Number(ver) }))

/** What the writers of this suite have committed. */
export const committed = async (sql: Sql): Promise<ReadonlyArray<Committed>> =>
  committedOf(await sql.query("select id, topic, key, ver from faults_ledger"))

/** What the store has committed with its invoices. */
export const committedByStore = async (sql: Sql): Promise<ReadonlyArray<Committed>> =>
  committedOf(
    await sql.query("select id, topic, key, ver from outbox_event where key in (select id::text from invoice)")
  )

export const count = async (sql: Sql): Promise<number> =>
  Number((await sql.query("select count(*) as count from faults_ledger"))[0]?.["count"] ?? 0)
