/** Compares the model of Postgres with a real one: a wrong model would prove nothing about a relay. */
import { assert, describe, it } from "@effect/vitest"
import { afterAll, beforeAll } from "vitest"
import { Postgres } from "../faults/Postgres.ts"
import { Random } from "../faults/Random.ts"
import { connect, type Session, type Sql } from "../programs/Sql.ts"
import { Engine } from "./Engine.ts"
import { Server } from "./postgres/Server.ts"
import * as Snapshot from "./postgres/Snapshot.ts"
import type { Transaction } from "./postgres/Transaction.ts"

const sessions = 4

/** What the model and the real server answer, with ids relative to the same first id. */
interface Answer {
  readonly snapshot: string
  /** Numbers and ids of the visible rows, in the order of the numbers. */
  readonly rows: string
}

const shifted = ({ xip, xmax, xmin }: Snapshot.Snapshot, by: number): string =>
  Snapshot.format({ xmin: xmin - by, xmax: xmax - by, xip: xip.map((xid) => xid - by) })

/** Four sessions of the model, and an observer. */
class Model {
  readonly engine = new Engine({ calm: true })
  readonly server: Server
  private transactions: Array<Transaction | undefined> = []

  constructor(firstXid: number) {
    this.server = new Server(this.engine, new Random(1), { lanes: 1, firstXid, walWriter: false })
  }

  async perform(what: string, session: number): Promise<string> {
    const { server } = this
    const transaction = this.transactions[session]
    let answer = ""
    if (what === "begin") this.transactions[session] = server.begin()
    else if (what === "crash") {
      server.crash()
      server.start()
      this.transactions = []
    } else if (transaction !== undefined) {
      answer = this.within(what, transaction)
      if (what === "commit" || what === "lazy" || what === "rollback") this.transactions[session] = undefined
    }
    await this.engine.run(this.engine.now + 100, () => false)
    return answer
  }

  look(base: number): Answer {
    const rows = this.server.tables.events.filter(({ writer }) => writer.state === "committed")
    return {
      snapshot: shifted(this.server.snapshot(), base),
      rows: rows.map(({ seq, xid }) => `${seq} ${xid - base}`).join(", ")
    }
  }

  private within(what: string, transaction: Transaction): string {
    const { server } = this
    switch (what) {
      case "assign":
        return String(server.assign(transaction))
      case "insert": {
        const xid = server.assign(transaction)
        const seq = server.nextval(transaction)
        const event = { lane: 0, id: "", topic: "", key: "", ver: 1, type: "", payload: new Uint8Array(), at: 0 }
        server.insertEvent({ ...event, seq, xid, writer: transaction })
        return String(seq)
      }
      case "snapshot":
        return Snapshot.format(server.snapshot(transaction))
      case "rollback":
        server.abort(transaction)
        return ""
      default:
        transaction.isSynchronous = what === "commit"
        server.commit(transaction, () => undefined)
        return ""
    }
  }
}

/** One connection for each session, and one for the observer. */
const pool = (postgres: Postgres): Sql => connect(postgres.url("postgres"), sessions + 1, "model")

/** The same on a real server. */
class Real {
  private readonly postgres: Postgres
  private sql: Sql
  private all: ReadonlyArray<Session> = []

  private constructor(postgres: Postgres) {
    this.postgres = postgres
    this.sql = pool(postgres)
  }

  static async open(postgres: Postgres): Promise<Real> {
    const real = new Real(postgres)
    await real.sql.query("drop table if exists model_event")
    await real.sql.query("drop sequence if exists model_seq")
    await real.sql.query("create sequence model_seq cache 1")
    await real.sql.query(`create table model_event (
      seq bigint primary key default nextval('model_seq'), xid xid8 not null default pg_current_xact_id())`)
    // after a checkpoint the first number is logged with 32 ahead, as after a crash
    await real.sql.query("checkpoint")
    await real.connect()
    return real
  }

  private async connect(): Promise<void> {
    this.all = await Promise.all(Array.from({ length: sessions }, () => this.sql.session()))
  }

  async perform(what: string, session: number): Promise<string> {
    const its = this.all[session]
    if (its === undefined) throw new Error("there is no such session")
    const one = async (text: string): Promise<string> =>
      String(Object.values((await its.query(text))[0] ?? {})[0] ?? "")
    switch (what) {
      case "crash":
        await this.postgres.crash()
        await this.sql.close()
        await this.postgres.launch()
        this.sql = pool(this.postgres)
        await this.connect()
        return ""
      case "assign":
        return one("select pg_current_xact_id()::text")
      case "insert":
        return one("insert into model_event default values returning seq::text")
      case "snapshot":
        return one("select pg_current_snapshot()::text")
      case "lazy":
        await its.query("set local synchronous_commit = off")
        return one("commit")
      default:
        return one(what)
    }
  }

  async look(base: number): Promise<Answer> {
    const [row] = await this.sql.query("select pg_current_snapshot()::text as snapshot")
    const rows = await this.sql.query("select seq::text as seq, xid::text as xid from model_event order by seq")
    return {
      snapshot: shifted(Snapshot.parse(String(row?.["snapshot"])), base),
      rows: rows.map(({ seq, xid }) => `${seq} ${Number(xid) - base}`).join(", ")
    }
  }

  /** The next transaction id. */
  async next(): Promise<number> {
    const [row] = await this.sql.query("select pg_snapshot_xmax(pg_current_snapshot())::text as next")
    return Number(row?.["next"])
  }

  async close(): Promise<void> {
    await this.sql.close()
  }
}

const inTransaction = ["assign", "insert", "insert", "snapshot", "commit", "lazy", "lazy", "rollback"] as const

describe("the model of Postgres", () => {
  let postgres: Postgres
  let reused = 0

  beforeAll(async () => {
    postgres = await Postgres.start()
    const admin = postgres.admin()
    // only the schedule takes ids and flushes
    for (const setting of ["autovacuum = off", "wal_writer_delay = '10s'", "checkpoint_timeout = '1h'"]) {
      await admin.query(`alter system set ${setting}`)
    }
    await admin.query("select pg_reload_conf()")
    await admin.close()
  })

  afterAll(() => postgres.stop())

  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`sees, locks and forgets what a real server does, as seed ${seed} has it`, async () => {
      const random = new Random(seed)
      const real = await Real.open(postgres)
      const base = await real.next()
      const model = new Model(base)
      const open = new Set<number>()
      const done: Array<string> = []
      for (let count = 0; count < 40; count++) {
        const session = random.between(0, sessions - 1)
        const what = random.chance(0.1) ? "crash" : open.has(session) ? random.pick(inTransaction) : "begin"
        done.push(`${session} ${what}`)
        const [ours, theirs] = [await model.perform(what, session), await real.perform(what, session)]
        if (what === "begin") open.add(session)
        else if (what === "crash") open.clear()
        else if (what === "commit" || what === "lazy" || what === "rollback") open.delete(session)
        if (what === "assign" || what === "insert" || what === "snapshot") {
          assert.strictEqual(ours, theirs, `${what} after ${done.join(", ")}`)
        }
        assert.deepEqual(model.look(base), await real.look(base), done.join(", "))
      }
      reused += model.server.reusedIds
      await real.close()
    })
  }

  it("had ids handed out again by both", () => {
    assert.isAbove(reused, 3)
  })
})
