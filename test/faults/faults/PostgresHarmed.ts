import type { Running } from "../../programs/Programs.ts"
import { until } from "../../programs/Waiting.ts"
import { Forward } from "../Forward.ts"
import * as Invoices from "../Invoices.ts"
import { keyOf } from "../Ledger.ts"
import * as Noise from "../Noise.ts"
import * as Readiness from "../Readiness.ts"
import type { Scene } from "../Scene.ts"
import { apis } from "../TcpProxy.ts"
import { keys } from "../World.ts"
import type { Fault } from "./Fault.ts"

/** Kills Postgres, which is back at once: the whole server, or one process of it, after which the others end too. */
export const fall = async ({ sql, random, world: { postgres } }: Scene, how = random.pick(["server", "process"])) => {
  const startedAt = performance.now()
  if (how === "server") {
    await postgres.kill()
    await postgres.launch()
  } else {
    const [row] = await sql.query("select pid from pg_stat_activity where backend_type = 'client backend' limit 1")
    await postgres.killBackend(Number(row?.["pid"]))
  }
  const seconds = (performance.now() - startedAt) / 1_000
  return `${how === "server" ? "all server processes" : "one server process"} killed, back after ${seconds.toFixed(1)} s`
}

/** Writes one event of each key. */
const writeOfEach = async ({ sql, topic }: Scene): Promise<void> => {
  for (let index = 0; index < keys; index++) await sql.query("select faults_event($1, $2, 0)", [topic, keyOf(index)])
}

/** The relay waits for the broker and runs no statement, so it does not notice that Postgres was restarted. */
const unseen: Fault = {
  number: 25,
  name: "Postgres killed (-9) while the relay waits for the broker",
  bound: 30,
  run: async (scene) => {
    const { postgres, proxy } = scene.world
    await scene.relay({ proxied: true, env: { RELAY_LEASE_MS: "10000" } })
    for (const how of scene.world.long ? ["server", "process", "server", "process"] : ["server", "process"]) {
      const before = scene.write({ writers: 2 })
      await before.more(scene.random.between(30, 60))
      await before.stop()
      const noise = Noise.make(postgres)
      await noise.more(scene.random.between(500, 1_000))
      proxy.set({ request: (api) => (api === apis.produce ? "hold" : "pass") })
      await scene.sql.query("select faults_event($1, $2, 0)", [scene.topic, keyOf(0)])
      await proxy.catches()
      // the next page is read while the send is on the way
      await noise.more(scene.random.between(20, 60))
      scene.notes.push(await fall(scene, how))
      await noise.stop()
      await writeOfEach(scene)
      proxy.pass()
    }
    return scene.judge()
  }
}

/**
 * Postgres is killed while the relay is stopped, as by a pause of its machine; the relay goes on with its old state.
 */
const stoppedAcross: Fault = {
  number: 26,
  name: "relay stopped (SIGSTOP) across a crash of Postgres",
  bound: 30,
  run: async (scene) => {
    const relay = await scene.relay({ env: { RELAY_LEASE_MS: "10000" } })
    for (let round = 0; round < (scene.world.long ? 6 : 3); round++) {
      const noise = Noise.make(scene.world.postgres)
      const writing = scene.write({ writers: 4, restMillis: 2 })
      await writing.more(scene.random.between(30, 90))
      await writing.stop()
      await noise.more(scene.random.between(200, 800))
      await relay.signal("SIGSTOP")
      scene.notes.push(await fall(scene))
      await noise.stop()
      await writeOfEach(scene)
      await relay.signal("SIGCONT")
      await until("the relay goes on", async () => {
        const [row] = await scene.sql.query(
          "select count(*)::int as count from pg_stat_activity where application_name = 'invoice-relay' and datname = current_database()"
        )
        return Number(row?.["count"]) > 0
      })
    }
    return scene.judge()
  }
}

const tellsWithin = 15
const saysSo = (program: Running): boolean => /"level":"(WARN|ERROR)"/u.test(program.output())

/** What is missing for an operator: a readiness of 503, and a line in the relay's log. */
const silences = (notReady: number | undefined, said: boolean): ReadonlyArray<string> => [
  ...(notReady === undefined ? [`/readyz did not say 503 within ${tellsWithin} s`] : []),
  ...(said ? [] : ["no line in the relay's log meanwhile"])
]

/** As on a machine that swaps or whose disk hangs: connections stay open, and neither they nor new ones get answers. */
const standsStill: Fault = {
  number: 27,
  name: "Postgres stands still (SIGSTOP), then goes on",
  bound: 45,
  run: async (scene) => {
    const { postgres } = scene.world
    const relay = await scene.relay({ env: { RELAY_LEASE_MS: "2000" } })
    const writing = scene.write({ writers: 4 })
    await writing.more(scene.random.between(50, 100))
    const readiness = Readiness.watch(relay)
    await postgres.pause()
    let notReady: number | undefined
    let said = false
    try {
      notReady = await readiness.becomes(503, tellsWithin)
      await until("the relay says so", () => saysSo(relay), { seconds: tellsWithin }).catch(() => {})
      said = saysSo(relay)
    } finally {
      await postgres.resume()
    }
    const ready = await readiness.becomes(200, 30)
    await readiness.stop()
    await writing.more(50)
    const outcome = await scene.judge()
    scene.notes.push(`not ready ${Readiness.after(notReady)}, ready again ${Readiness.after(ready)}`)
    return { ...outcome, broken: [...outcome.broken, ...silences(notReady, said)] }
  }
}

/** Open connections carry nothing any more and report no error; new connections work. */
const halfOpen: Fault = {
  number: 28,
  name: "connections to Postgres half open",
  bound: 20,
  run: async (scene) => {
    const { postgres } = scene.world
    const address = await Forward.listen(postgres.port)
    try {
      const relay = await scene.relay({
        env: { DATABASE_URL: postgres.url(scene.database, address.port), RELAY_LEASE_MS: "2000" }
      })
      const writing = scene.write({ writers: 4, restMillis: 50 })
      const wrong = new Set<string>()
      for (let round = 0; round < (scene.world.long ? 4 : 1); round++) {
        await writing.more(scene.random.between(50, 150))
        const readiness = Readiness.watch(relay)
        const count = address.silence()
        const notReady = await readiness.becomes(503, tellsWithin)
        for (const what of silences(notReady, saysSo(relay))) wrong.add(what)
        const ready = await readiness.becomes(200, 30)
        await readiness.stop()
        scene.notes.push(
          `${count} connections dead: not ready ${Readiness.after(notReady)}, ready again ${Readiness.after(ready)}`
        )
      }
      await writing.more(50)
      const outcome = await scene.judge()
      return { ...outcome, broken: [...outcome.broken, ...wrong] }
    } finally {
      await scene.close()
      await address.close()
    }
  }
}

/** Invoices are taken and judged while the connections of all programs become half open, twice. */
const halfOpenUnder = async (scene: Scene, target: number, envOf: (port: number) => Record<string, string>) => {
  const address = await Forward.listen(target)
  try {
    const env = { ...envOf(address.port), RELAY_LEASE_MS: "2000" }
    const [api] = await Promise.all(
      (["api", "relay", "validator"] as const).map((name) => scene.program(name, { env }))
    )
    const flow = Invoices.flow(scene.random.fork("flow"), () => api?.url("api") ?? "", { restMillis: 50 })
    for (let round = 0; round < 2; round++) {
      await flow.more(scene.random.between(50, 100))
      scene.notes.push(`${address.silence()} connections dead`)
      await flow.more(100)
    }
    return await Invoices.judge(scene, flow)
  } finally {
    await scene.close()
    await address.close()
  }
}

const halfOpenAll: Fault = {
  number: 28,
  name: "connections to Postgres half open, of api, relay, validator",
  topic: "left to the product",
  long: true,
  bound: 40,
  run: (scene) => {
    const { postgres } = scene.world
    return halfOpenUnder(scene, postgres.port, (port) => ({ DATABASE_URL: postgres.url(scene.database, port) }))
  }
}

const halfOpenStorage: Fault = {
  number: 28,
  name: "connections to the storage program half open",
  topic: "left to the product",
  long: true,
  bound: 60,
  run: async (scene) => {
    const storage = await scene.program("storage")
    return halfOpenUnder(scene, Number(new URL(storage.url("grpc")).port), (port) => ({
      DATABASE_URL: "",
      STORAGE_ADDRESS: `127.0.0.1:${port}`
    }))
  }
}

export const faults: ReadonlyArray<Fault> = [unseen, stoppedAcross, standsStill, halfOpen, halfOpenAll, halfOpenStorage]
