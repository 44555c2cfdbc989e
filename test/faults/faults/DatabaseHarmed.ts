import { connect, type Session } from "../../programs/Sql.ts"
import { until } from "../../programs/Waiting.ts"
import type { Scene } from "../Scene.ts"
import { size } from "../Topic.ts"
import type { Fault } from "./Fault.ts"

const terminateAll = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name <> 'faults'`

const terminated: Fault = {
  number: 4,
  name: "every connection to Postgres terminated, again and again",
  bound: 20,
  run: async (scene) => {
    await Promise.all([scene.relay(), scene.relay()])
    const writing = scene.write({ preparing: 2 })
    for (let round = 0; round < 10; round++) {
      await writing.more(scene.random.between(20, 120))
      await scene.sql.query(terminateAll)
    }
    await writing.more(50)
    return scene.judge()
  }
}

const crashed: Fault = {
  number: 5,
  name: "Postgres crashes and recovers",
  bound: 20,
  run: async (scene) => {
    const { postgres } = scene.world
    await Promise.all([scene.relay(), scene.relay()])
    const writing = scene.write({ preparing: 2 })
    for (let round = 0; round < 2; round++) {
      await writing.more(scene.random.between(50, 200))
      await postgres.crash()
      await postgres.launch()
    }
    await writing.more(50)
    return scene.judge()
  }
}

/** Drains a backlog; answers events a second, from its commit to its last record in the log. */
const drain = async (scene: Scene, events: number): Promise<number> => {
  const { brokers } = scene.world.kafka
  const before = await size(brokers, scene.topic)
  await scene.sql.query("select faults_backlog($1, $2::int8, 40, true)", [scene.topic, events])
  const startedAt = performance.now()
  await until("the backlog is published", async () => (await size(brokers, scene.topic)) >= before + events, {
    every: 100
  })
  return events / ((performance.now() - startedAt) / 1_000)
}

/** Opens a transaction with an id and a snapshot, which stays open until its session ends. */
const openTransaction = async (session: Session): Promise<void> => {
  await session.query("begin isolation level repeatable read")
  await session.query("select pg_current_xact_id()::text")
}

const events = 30_000

const longTransaction: Fault = {
  number: 10,
  name: "long transactions open here and in another database",
  long: true,
  bound: 30,
  once: true,
  run: async (scene) => {
    await scene.relay()
    await drain(scene, 5_000)
    const without = await drain(scene, events)
    const elsewhere = connect(scene.world.postgres.url("postgres"), 1)
    const sessions = [await scene.sql.session(), await elsewhere.session()]
    for (const session of sessions) await openTransaction(session)
    const writing = scene.write()
    await writing.more(300)
    await writing.stop()
    const under = await drain(scene, events)
    const outcome = await scene.judge()
    for (const session of sessions) {
      await session.query("rollback")
      await session.release()
    }
    await elsewhere.close()
    scene.notes.push(
      `drained ${Math.round(without)} events/s without and ${Math.round(under)} with: × ${(under / without).toFixed(2)}`
    )
    return outcome
  }
}

export const faults: ReadonlyArray<Fault> = [terminated, crashed, longTransaction]
