import { until } from "../../programs/Waiting.ts"
import * as Invoices from "../Invoices.ts"
import { keyOf } from "../Ledger.ts"
import type { Scene } from "../Scene.ts"
import { apis, errors } from "../TcpProxy.ts"
import type { Fault } from "./Fault.ts"

/** A rolling update of the brokers: each is stopped, starts again, and catches up before the next one is stopped. */
const rolling: Fault = {
  number: 20,
  name: "brokers restarted one after another (SIGTERM)",
  brokers: 3,
  bound: 30,
  run: async (scene) => {
    const { cluster, long } = scene.world
    await scene.relay()
    const writing = scene.write({ restMillis: 15 })
    await writing.more(100)
    for (const broker of long ? cluster.ids : [scene.random.pick(cluster.ids)]) {
      await cluster.kill(broker, "SIGTERM")
      await writing.more(scene.random.between(20, 200))
      await cluster.restart(broker)
      await cluster.settled()
      await writing.more(50)
    }
    return scene.judge()
  }
}

const pipelineTopics = ["invoice_approved", "invoice_rejected"]

/**
 * Leaders move while the relay sends: each of its sends goes to several brokers, and some have acknowledged it when
 * others answer that they no longer lead. On the pipeline's own topics, with many events of a key on each.
 */
const reassigned: Fault = {
  number: 21,
  name: "leaders reassigned again and again, on the pipeline's topics",
  brokers: 3,
  topic: "left to the product",
  bound: 20,
  run: async (scene) => {
    const { cluster, long } = scene.world
    await scene.relay()
    const writing = scene.write({ topics: pipelineTopics, restMillis: 10 })
    await writing.more(100)
    const moves = long ? 40 : 8
    for (let move = 0; move < moves; move++) {
      const partitions = await cluster.partitions(...pipelineTopics)
      await cluster.moveLeaders([scene.random.pick(partitions)], scene.random)
      await writing.more(scene.random.between(20, 80))
    }
    const outcome = await scene.judge({ topics: pipelineTopics, isOurs: ({ key }) => key.startsWith(keyOf("")) })
    scene.notes.push(`${moves} leaders moved`)
    return outcome
  }
}

/** Two brokers of three stop, one after the other: the third must not acknowledge anything alone. */
const belowMinimum: Fault = {
  number: 22,
  name: "replicas in sync below the minimum, two brokers down",
  brokers: 3,
  bound: 60,
  run: async (scene) => {
    const { cluster } = scene.world
    const relay = await scene.relay()
    const writing = scene.write({ restMillis: 20 })
    await writing.more(50)
    const start = scene.random.between(0, 2)
    const leaving = [0, 1].map((step) => cluster.ids[(start + step) % 3] ?? 1)
    for (const broker of leaving) await cluster.kill(broker, "SIGTERM")
    await writing.more(200)
    await until("the relay says that the broker is unavailable", () => relay.output().includes("events wait"))
    for (const broker of leaving) await cluster.restart(broker)
    await cluster.settled()
    await writing.more(50)
    return scene.judge()
  }
}

/** `group.id` of the validators. */
const group = "validation-service"

/** The coordinator of the validators' group is killed and comes back; then another broker coordinates the group. */
const coordinator: Fault = {
  number: 23,
  name: "the coordinator of the validators killed, then moved",
  long: true,
  brokers: 3,
  topic: "left to the product",
  bound: 60,
  run: async (scene) => {
    const { cluster } = scene.world
    const [api] = await Promise.all([
      scene.program("api"),
      scene.relay(),
      scene.program("validator"),
      scene.program("validator")
    ])
    const flow = Invoices.flow(scene.random.fork("flow"), () => api.url("api"), { restMillis: 100 })
    await flow.more(100)
    const { leader } = await cluster.coordinatorOf(group)
    await cluster.kill(leader, "SIGKILL")
    await flow.more(200)
    await cluster.restart(leader)
    await cluster.settled()
    await flow.more(50)
    await cluster.moveLeaders([await cluster.coordinatorOf(group)], scene.random)
    await flow.more(100)
    return Invoices.judge(scene, flow)
  }
}

/** Kafka gives this answer for a moment whenever a group moves to another broker; the client has to ask again. */
const loading: Fault = {
  number: 24,
  name: 'JoinGroup answered "coordinator is loading", once',
  brokers: 3,
  topic: "left to the product",
  bound: 30,
  run: async (scene) => {
    const { cluster, proxy } = scene.world
    const [api] = await Promise.all([
      scene.program("api"),
      scene.relay(),
      scene.program("validator", { proxied: true })
    ])
    const flow = Invoices.flow(scene.random.fork("flow"), () => api.url("api"), { restMillis: 50 })
    await flow.more(50)
    await verdictsCome(scene)
    let refused = 0
    proxy.set({
      request: (api) => {
        if (api !== apis.joinGroup || refused > 0) return "pass"
        refused += 1
        return { error: errors.coordinatorLoadInProgress }
      }
    })
    // A consumer that fetches from a broker which no longer leads joins its group again. It does not when it happens to
    // read the metadata anew between the move and its fetch, as it does in a join, so leaders move until it has to.
    for (let moves = 0; proxy.caught === 0; moves++) {
      if (moves === 6) throw new Error("no consumer joined its group again, though leaders moved 6 times")
      const partitions = await cluster.partitions("new_invoice")
      await cluster.moveLeaders(partitions.slice(0, 1), scene.random)
      await proxy.catches({ seconds: 5 }).catch(() => {})
    }
    await flow.more(200)
    return Invoices.judge(scene, flow)
  }
}

const verdictsCome = (scene: Scene): Promise<void> =>
  until(
    "the first verdicts",
    async () => (await scene.sql.query("select from invoice where status <> 'Pending' limit 1")).length > 0
  )

export const faults: ReadonlyArray<Fault> = [rolling, reassigned, belowMinimum, coordinator, loading]
