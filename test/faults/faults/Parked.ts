import { PostgresOutbox } from "@invoice/adapters/postgres"
import { Outbox } from "@invoice/core"
import { Effect, Redacted } from "effect"
import { until } from "../../programs/Waiting.ts"
import { keyOf } from "../Ledger.ts"
import type { Scene } from "../Scene.ts"
import { allowLarge, size } from "../Topic.ts"
import type { Fault } from "./Fault.ts"

/** Asks the relay to replay the keys' parked events; answers how many events there are. */
export const replay = (scene: Scene, ...keys: ReadonlyArray<string>): Promise<number> =>
  Effect.runPromise(
    Effect.flatMap(Outbox, (outbox) => Effect.forEach(keys, (key) => outbox.replay(key))).pipe(
      Effect.map((counts) => counts.reduce((sum, count) => sum + count, 0)),
      Effect.provide(PostgresOutbox.layer({ url: Redacted.make(scene.url) })),
      Effect.scoped
    )
  )

const poisoned = keyOf(7)
const small = { "max.message.bytes": "20000" }
const large = 200_000

const park = async (scene: Scene): Promise<void> => {
  await scene.sql.query("select faults_event($1, $2, 60000)", [scene.topic, poisoned])
  await until(
    "the key is parked",
    async () => (await scene.sql.query("select from outbox_parked_key where key = $1", [poisoned])).length > 0
  )
}

const stillParked = async (scene: Scene): Promise<ReadonlyArray<string>> => {
  const parked = await scene.sql.query("select key from outbox_parked_key")
  return parked.length === 0 ? [] : [`${parked.length} keys are still parked`]
}

const passed = `select from outbox_cursor c, outbox_parked p join outbox_event e on e.id = p.id
  where p.key = $1 and pg_visible_in_snapshot(e.xid, c.lo) limit 1`

/** While a key is parked another relay takes over; it has to know which key the first one has parked. */
export const tooLarge: Fault = {
  number: 8,
  name: "record too large: its key waits, and is replayed",
  topic: small,
  bound: 60,
  run: async (scene) => {
    const { brokers } = scene.world.kafka
    const relay = await scene.relay()
    const writing = scene.write()
    await writing.more(100)
    await park(scene)
    const before = await size(brokers, scene.topic)
    await writing.more(100)
    await until("the other keys go on", async () => (await size(brokers, scene.topic)) > before + 50)
    await until(
      "its position has passed what it parked",
      async () => (await scene.sql.query(passed, [poisoned])).length > 0
    )
    const epoch = await scene.epoch()
    await relay.signal("SIGKILL")
    await scene.relay()
    await scene.takenOver(epoch)
    await writing.more(300)
    await until("the other keys go on", async () => (await size(brokers, scene.topic)) > before + 150)
    await allowLarge(brokers, scene.topic, large)
    const held = await replay(scene, poisoned)
    await writing.more(100)
    const outcome = await scene.judge()
    scene.notes.push(`${held} events were held back and replayed`)
    return { ...outcome, broken: [...outcome.broken, ...(await stillParked(scene))] }
  }
}

const gateKey = 4712

/** Once a key is parked, a position can be written only while the gate is open; a lease's renewal is not affected. */
const makeGate = async ({ sql }: Scene): Promise<void> => {
  await sql.query(`create function faults_position_gate() returns trigger language plpgsql as $$
    begin
      if exists (select from outbox_parked_key) then
        perform pg_advisory_xact_lock_shared(${gateKey});
      end if;
      return new;
    end $$`)
  await sql.query(`create trigger faults_position_gate before update of lo on outbox_cursor
    for each row execute function faults_position_gate()`)
}

const atTheGate = `select pid from pg_stat_activity
  where datname = current_database() and application_name <> 'faults' and wait_event = 'advisory'`

/** The relay dies between parking an event and committing its position, so that the next one reads the event again. */
const replayedAtRestart: Fault = {
  number: 34,
  name: "replay asked for while the relay is replaced",
  topic: small,
  bound: 60,
  run: async (scene) => {
    await makeGate(scene)
    const relay = await scene.relay()
    const writing = scene.write({ writers: 4 })
    await writing.more(50)
    const gate = await scene.sql.session()
    await gate.query(`select pg_advisory_lock(${gateKey})`)
    await park(scene)
    await until("its position waits", async () => (await scene.sql.query(atTheGate)).length > 0)
    await relay.signal("SIGKILL")
    await scene.sql.query(atTheGate.replace("select pid", "select pg_terminate_backend(pid)"))
    await gate.query(`select pg_advisory_unlock(${gateKey})`)
    await gate.release()
    await allowLarge(scene.world.kafka.brokers, scene.topic, large)
    const held = await replay(scene, poisoned)
    scene.notes.push(`${held} events were held back and replayed`)
    await scene.relay()
    await writing.more(50)
    // a request that was not lost is done within ten seconds
    await until("the key is replayed", async () => (await stillParked(scene)).length === 0, { seconds: 10 }).catch(
      () => {}
    )
    const outcome = await scene.judge()
    return { ...outcome, broken: [...outcome.broken, ...(await stillParked(scene))] }
  }
}

export const faults: ReadonlyArray<Fault> = [tooLarge, replayedAtRestart]
