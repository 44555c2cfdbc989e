import { fileURLToPath } from "node:url"
import { apis } from "../TcpProxy.ts"
import type { Fault } from "./Fault.ts"

/**
 * The leader is stopped for longer than its lease, with a send on the way; another relay leads meanwhile. Then the send
 * arrives after all, and the old leader continues where it was.
 */
const stopped: Fault = {
  number: 2,
  name: "leader stopped past its lease, then resumed",
  long: true,
  bound: 20,
  run: async (scene) => {
    const { proxy } = scene.world
    const proxied = await scene.relay({ proxied: true })
    const writing = scene.write()
    await scene.relay()
    for (let round = 0; round < 2; round++) {
      await writing.more(scene.random.between(50, 150))
      const epoch = await scene.epoch()
      proxy.set({ request: (api) => (api === apis.produce ? "hold" : "pass") })
      await proxy.catches()
      await proxied.signal("SIGSTOP")
      await scene.takenOver(epoch)
      await writing.more(scene.random.between(50, 150))
      proxy.pass()
      await proxied.signal("SIGCONT")
      await writing.more(50)
      // the lane goes back to the relay behind the proxy
      if (round === 0) await scene.handTo(proxied)
    }
    return scene.judge()
  }
}

/** The lane is given to another owner while its relay believes that it holds the lease. */
const forced: Fault = {
  number: 3,
  name: "two leaders by force",
  bound: 20,
  run: async (scene) => {
    await Promise.all([scene.relay(), scene.relay()])
    const writing = scene.write()
    for (let round = 0; round < 8; round++) {
      await writing.more(scene.random.between(20, 120))
      const epoch = await scene.epoch()
      if (scene.random.chance(0.5)) {
        // the lane is free: the standby takes it, while the first relay has not noticed yet
        await scene.sql.query("update outbox_cursor set owner = null, lease_until = null")
      } else {
        await scene.sql.query(
          "update outbox_cursor set epoch = epoch + 1, owner = 'somebody', lease_until = clock_timestamp() + interval '300 ms'"
        )
      }
      await scene.takenOver(epoch)
    }
    await writing.more(50)
    return scene.judge()
  }
}

const hour = 3_600_000
const preload = fileURLToPath(new URL("../ShiftedClock.ts", import.meta.url))

/** Leases use the database's clock, and records get the broker's time, so a relay's own clock doesn't matter. */
const clocks: Fault = {
  number: 18,
  name: "relays whose clocks are an hour and more off",
  long: true,
  bound: 20,
  topic: "left to the product",
  run: async (scene) => {
    const at = (shift: number) => scene.relay({ preload, env: { FAULTS_CLOCK_SHIFT: String(shift) } })
    let leader = await at(hour + 60_000)
    const writing = scene.write()
    let standby = await at(-hour - 60_000)
    for (let round = 0; round < 2; round++) {
      await writing.more(scene.random.between(50, 150))
      const epoch = await scene.epoch()
      await leader.signal("SIGKILL")
      await scene.takenOver(epoch)
      leader = standby
      standby = await at(hour + 60_000)
    }
    await writing.more(50)
    const outcome = await scene.judge()
    const parked = await scene.sql.query("select key from outbox_parked_key")
    return { ...outcome, broken: [...outcome.broken, ...(parked.length === 0 ? [] : [`${parked.length} keys parked`])] }
  }
}

export const faults: ReadonlyArray<Fault> = [stopped, forced, clocks]
