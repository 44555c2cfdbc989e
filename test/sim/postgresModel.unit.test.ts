/** What the model of Postgres does; `postgresModel.int.test.ts` compares it with a real one. */
import { assert, describe, it } from "@effect/vitest"
import { Random } from "../faults/Random.ts"
import { Engine } from "./Engine.ts"
import { Server } from "./postgres/Server.ts"
import * as Snapshot from "./postgres/Snapshot.ts"
import { Cell, Locked, type Transaction } from "./postgres/Transaction.ts"

const made = (walWriter = false): { engine: Engine; server: Server } => {
  const engine = new Engine({ calm: true })
  return { engine, server: new Server(engine, new Random(1), { lanes: 1, firstXid: 100, walWriter }) }
}

const pass = (engine: Engine, millis: number): Promise<boolean> => engine.run(engine.now + millis, () => false)

const insert = (server: Server, transaction: Transaction): number => {
  const xid = server.assign(transaction)
  const seq = server.nextval(transaction)
  const event = { lane: 0, id: `${seq}`, topic: "t", key: "k", ver: 1, type: "", payload: new Uint8Array(), at: 0 }
  server.insertEvent({ ...event, seq, xid, writer: transaction })
  return seq
}

const seen = (server: Server): ReadonlyArray<number> =>
  server.tables.events.filter(({ writer }) => writer.state === "committed").map(({ seq }) => seq)

const snapshot = (server: Server): string => Snapshot.format(server.snapshot())

describe("a snapshot", () => {
  it("names what is in progress below the newest id that is over", () => {
    const { server } = made()
    const transactions = Array.from({ length: 4 }, () => server.begin())
    for (const transaction of transactions) server.assign(transaction)
    assert.strictEqual(snapshot(server), "100:100:")
    const [first, second, third] = transactions
    if (first === undefined || second === undefined || third === undefined) return assert.fail()
    server.abort(third)
    assert.strictEqual(snapshot(server), "100:103:100,101")
    assert.strictEqual(Snapshot.format(server.snapshot(first)), "100:103:101")
    server.abort(first)
    assert.strictEqual(snapshot(server), "101:103:101")
    assert.isTrue(Snapshot.sees(Snapshot.parse("101:103:101"), 102))
    assert.isFalse(Snapshot.sees(Snapshot.parse("101:103:101"), 101))
    assert.isFalse(Snapshot.sees(Snapshot.parse("101:103:101"), 103))
    return undefined
  })
})

describe("a commit", () => {
  it("is seen when it is flushed, and then outlasts a crash", async () => {
    const { engine, server } = made()
    const transaction = server.begin()
    const seq = insert(server, transaction)
    let isAnswered = false
    server.commit(transaction, () => {
      isAnswered = true
    })
    assert.deepEqual([seen(server), isAnswered], [[], false])
    await pass(engine, 10)
    assert.deepEqual([seen(server), isAnswered], [[seq], true])
    server.crash()
    server.start()
    assert.deepEqual(seen(server), [seq])
    assert.strictEqual(snapshot(server), "101:101:")
  })

  it("that does not wait for the disk is seen at once, and a crash forgets it and gives its id to another", () => {
    const { server } = made()
    const transaction = server.begin()
    const seq = insert(server, transaction)
    transaction.isSynchronous = false
    server.commit(transaction, () => undefined)
    assert.deepEqual(seen(server), [seq])
    assert.strictEqual(snapshot(server), "101:101:")
    server.crash()
    server.start()
    assert.deepEqual(seen(server), [])
    assert.strictEqual(snapshot(server), "100:100:")
    assert.strictEqual(server.assign(server.begin()), 100)
    assert.strictEqual(server.reusedIds, 1)
  })

  it("that is flushed and not seen yet is there after a crash", async () => {
    const { engine, server } = made()
    const [first, second] = [server.begin(), server.begin()]
    insert(server, first)
    insert(server, second)
    server.commit(first, () => undefined)
    await pass(engine, 10)
    server.commit(second, () => undefined)
    server.crash()
    server.start()
    assert.lengthOf(seen(server), 1)
  })

  it("flushes what others have written, so that their ids are not handed out again", async () => {
    const { engine, server } = made()
    const [rolledBack, other] = [server.begin(), server.begin()]
    server.assign(rolledBack)
    server.abort(rolledBack)
    insert(server, other)
    server.commit(other, () => undefined)
    await pass(engine, 10)
    server.crash()
    server.start()
    assert.strictEqual(snapshot(server), "102:102:")
  })

  it("is flushed some time without anybody waiting, too", async () => {
    const { engine, server } = made(true)
    const transaction = server.begin()
    transaction.isSynchronous = false
    const seq = insert(server, transaction)
    server.commit(transaction, () => undefined)
    await pass(engine, 700)
    server.crash()
    server.start()
    assert.deepEqual(seen(server), [seq])
  })
})

describe("a sequence", () => {
  it("never hands out a number again that a flushed record knows", async () => {
    const { engine, server } = made()
    const numbers = new Set<number>()
    for (let round = 0; round < 3; round++) {
      const transaction = server.begin()
      const seq = insert(server, transaction)
      assert.isFalse(numbers.has(seq))
      numbers.add(seq)
      server.commit(transaction, () => undefined)
      await pass(engine, 10)
      server.crash()
      server.start()
    }
    assert.deepEqual([...numbers], [1, 34, 67])
  })
})

describe("a row", () => {
  it("is locked until its transaction is over, and then whoever waits goes on", async () => {
    const { engine, server } = made()
    const cell = new Cell<number>(1)
    const [first, second] = [server.begin(), server.begin()]
    server.write(first, cell, 2)
    assert.throws(() => server.lock(second, cell), Locked)
    assert.strictEqual(cell.read(second), 1)
    let goesOn = false
    cell.waiters.push(() => {
      goesOn = true
    })
    server.commit(first, () => undefined)
    assert.isFalse(goesOn)
    await pass(engine, 10)
    assert.isTrue(goesOn)
    server.write(second, cell, (cell.read(second) ?? 0) + 1)
    assert.strictEqual(cell.read(second), 3)
    server.abort(second)
    assert.strictEqual(cell.committed, 2)
  })

  it("is as it was before every commit that a standby lacks", async () => {
    const { engine, server } = made()
    const cell = new Cell<number>(0)
    for (let value = 1; value <= 3; value++) {
      const transaction = server.begin()
      server.write(transaction, cell, value)
      server.commit(transaction, () => undefined)
      await pass(engine, 10)
    }
    // each transaction has three records: a lock, a write and a commit; so the second one loses its commit
    server.promote(4)
    server.start(true)
    assert.strictEqual(cell.committed, 1)
  })
})
