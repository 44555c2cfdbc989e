import { until } from "../../programs/Waiting.ts"
import * as Invoices from "../Invoices.ts"
import type { Scene } from "../Scene.ts"
import type { Fault } from "./Fault.ts"

/** What must hold without any harm. */
export const unharmed: Fault = {
  number: 19,
  name: "invoices in, verdicts out, nobody harmed",
  topic: "left to the product",
  bound: 15,
  once: true,
  run: async (scene) => {
    const [api] = await Promise.all([scene.program("api"), scene.relay(), scene.program("validator")])
    const flow = Invoices.flow(scene.random.fork("flow"), () => api.url("api"))
    await flow.more(300)
    return Invoices.judge(scene, flow)
  }
}

const gateKey = 4711

/** Verdicts can be written only while the gate is open; the suite closes it by an advisory lock. */
const makeGate = async ({ sql }: Scene): Promise<void> => {
  await sql.query(`create function faults_gate() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(${gateKey});
      return new;
    end $$`)
  await sql.query("create trigger faults_gate before update on invoice for each row execute function faults_gate()")
}

const atTheGate = `select pid from pg_stat_activity
  where datname = current_database() and application_name = 'invoice-store' and wait_event = 'advisory' order by pid`

/**
 * Validators come and go. Then all of them are killed while verdicts wait at the gate: some of these are terminated
 * (killed before the commit); the others commit, and no validator is left to acknowledge their messages (killed after
 * the commit).
 */
const storm: Fault = {
  number: 15,
  name: "rebalance storm; validators killed before and after commits",
  long: true,
  bound: 60,
  topic: "left to the product",
  run: async (scene) => {
    const { random } = scene
    await makeGate(scene)
    const [api] = await Promise.all([scene.program("api"), scene.relay()])
    const flow = Invoices.flow(random.fork("flow"), () => api.url("api"))
    const members = [await scene.program("validator"), await scene.program("validator")]
    for (let round = 0; round < 3; round++) {
      await flow.more(random.between(20, 80))
      members.push(await scene.program("validator"))
      const leaving = members.splice(random.between(0, members.length - 1), 1)
      await Promise.all(leaving.map((member) => member.signal("SIGTERM")))
    }
    await flow.more(50)
    const gate = await scene.sql.session()
    await gate.query(`select pg_advisory_lock(${gateKey})`)
    let waiting: ReadonlyArray<unknown> = []
    await until("verdicts of two batches are at the gate", async () => {
      waiting = (await scene.sql.query(atTheGate)).map(({ pid }) => pid)
      return waiting.length >= 2
    })
    await Promise.all(members.splice(0).map((member) => member.signal("SIGKILL")))
    const before = waiting.slice(0, Math.ceil(waiting.length / 2)).map(Number)
    for (const pid of before) await scene.sql.query("select pg_terminate_backend($1::int4)", [pid])
    await gate.query(`select pg_advisory_unlock(${gateKey})`)
    await gate.release()
    scene.notes.push(
      `batches killed before their commit: ${before.length}, after it: ${waiting.length - before.length}`
    )
    await Promise.all([scene.program("validator"), scene.program("validator")])
    await flow.more(50)
    return Invoices.judge(scene, flow)
  }
}

/** A rolling restart: for each program a successor starts, then the program is asked to stop. */
const rolling: Fault = {
  number: 17,
  name: "api, relay and validator replaced under load (SIGTERM)",
  bound: 30,
  topic: "left to the product",
  run: async (scene) => {
    const names = ["api", "relay", "validator"] as const
    const [first, ...others] = await Promise.all(names.map((name) => scene.program(name)))
    let api = first
    const flow = Invoices.flow(scene.random.fork("flow"), () => api?.url("api") ?? "")
    const exits: Array<string> = []
    for (const [index, old] of [first, ...others].entries()) {
      await flow.more(scene.random.between(40, 120))
      const successor = await scene.program(names[index] ?? "api")
      if (index === 0) api = successor
      exits.push(`${names[index]} ended with ${await old?.signal("SIGTERM")}`)
    }
    await flow.more(50)
    const outcome = await Invoices.judge(scene, flow)
    return { ...outcome, broken: [...outcome.broken, ...exits.filter((exit) => !exit.endsWith(" with 0"))] }
  }
}

const relayStopped: Fault = {
  number: 17,
  name: "relay told to stop under load (SIGTERM)",
  long: true,
  bound: 20,
  once: true,
  run: async (scene) => {
    const writing = scene.write()
    const codes: Array<number | string> = []
    for (let round = 0; round < 3; round++) {
      const relay = await scene.relay()
      await writing.more(scene.random.between(50, 200))
      codes.push(await relay.signal("SIGTERM"))
    }
    await scene.relay()
    await writing.more(50)
    const outcome = await scene.judge()
    return {
      ...outcome,
      broken: [...outcome.broken, ...codes.filter((code) => code !== 0).map((code) => `a relay ended with ${code}`)]
    }
  }
}

export const faults: ReadonlyArray<Fault> = [unharmed, storm, rolling, relayStopped]
