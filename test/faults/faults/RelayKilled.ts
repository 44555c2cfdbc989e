import type { Running } from "../../programs/Programs.ts"
import { until } from "../../programs/Waiting.ts"
import type { Scene } from "../Scene.ts"
import { apis } from "../TcpProxy.ts"
import type { Fault } from "./Fault.ts"

/** The leader is killed at random moments; a standby takes over, and a new standby is started. */
const atRandom: Fault = {
  number: 1,
  name: "relay killed at random moments",
  long: true,
  bound: 20,
  run: async (scene) => {
    const { random } = scene
    const kills = scene.world.soak !== undefined ? 40 : scene.world.long ? 12 : 4
    let leader = await scene.relay()
    const writing = scene.write()
    let standby = await scene.relay()
    for (let kill = 0; kill < kills; kill++) {
      await writing.more(random.between(20, 250))
      const epoch = await scene.epoch()
      await leader.signal("SIGKILL")
      await scene.takenOver(epoch)
      leader = standby
      standby = await scene.relay()
    }
    await writing.more(50)
    scene.notes.push(`${kills} kills`)
    return scene.judge()
  }
}

/** Kills a relay behind the proxy while the proxy holds its send, or the answer to it. */
const whileHeld =
  (what: "request" | "answer") =>
  async (scene: Scene, start: () => Promise<Running>): Promise<void> => {
    const { proxy } = scene.world
    proxy.pass()
    const relay = await start()
    const writing = scene.write()
    await until("the relay sends", () => proxy.acknowledged > 0)
    for (let kill = 0, running = relay; kill < 3; kill++) {
      await writing.more(scene.random.between(10, 60))
      proxy.set({ [what]: (api: number) => (api === apis.produce ? "hold" : "pass") })
      await proxy.catches()
      await running.signal("SIGKILL")
      // the held request or answer never arrives
      proxy.cut()
      proxy.pass()
      running = await start()
    }
    await writing.more(30)
  }

export const inTheMiddleOfASend = whileHeld("request")

const reading: Fault = {
  number: 1,
  name: "relay killed after reading, its send on the way",
  long: true,
  bound: 45,
  run: async (scene) => {
    scene.world.proxy.acknowledged = 0
    await inTheMiddleOfASend(scene, () => scene.relay({ proxied: true }))
    return scene.judge()
  }
}

const appended: Fault = {
  number: 1,
  name: "relay killed after the append, the answer on the way",
  bound: 45,
  run: async (scene) => {
    scene.world.proxy.acknowledged = 0
    await whileHeld("answer")(scene, () => scene.relay({ proxied: true }))
    return scene.judge()
  }
}

const waitingForCursor = `select from pg_stat_activity
  where datname = current_database() and application_name = 'invoice-relay' and wait_event_type = 'Lock'`

/** The cursor's row is locked, so the relay's commit waits: it dies with acknowledged events and an old position. */
const uncommitted: Fault = {
  number: 1,
  name: "relay killed after the answer, before the cursor",
  long: true,
  bound: 45,
  run: async (scene) => {
    let relay = await scene.relay()
    const writing = scene.write()
    for (let kill = 0; kill < 3; kill++) {
      await writing.more(scene.random.between(20, 80))
      const session = await scene.sql.session()
      await session.query("begin")
      await session.query("select from outbox_cursor for update")
      await until("the relay waits for its cursor", async () => (await scene.sql.query(waitingForCursor)).length > 0)
      await relay.signal("SIGKILL")
      // the relay's server process would write the position after all, once it gets the lock
      await scene.sql.query(waitingForCursor.replace("select", "select pg_terminate_backend(pid)"))
      await session.query("rollback")
      await session.release()
      relay = await scene.relay()
    }
    await writing.more(30)
    return scene.judge()
  }
}

/** The relay waits for the answer as long as a stop may take, and then doesn't know whether the send was appended. */
export const stoppedWhileSending: Fault = {
  number: 38,
  name: "relay told to stop while its send is not answered",
  long: true,
  bound: 45,
  run: async (scene) => {
    const { proxy } = scene.world
    proxy.acknowledged = 0
    const relay = await scene.relay({ proxied: true })
    const writing = scene.write()
    await until("the relay sends", () => proxy.acknowledged > 0)
    await writing.more(scene.random.between(20, 100))
    proxy.set({ request: (api) => (api === apis.produce ? "swallow" : "pass") })
    await proxy.catches()
    await writing.more(scene.random.between(20, 50))
    const code = await relay.signal("SIGTERM")
    proxy.cut()
    proxy.pass()
    await scene.relay({ proxied: true })
    await writing.more(50)
    const outcome = await scene.judge()
    return { ...outcome, broken: [...outcome.broken, ...(code === 0 ? [] : [`the relay ended with ${code}`])] }
  }
}

export const faults: ReadonlyArray<Fault> = [atRandom, reading, appended, uncommitted, stoppedWhileSending]
