import { until } from "../../programs/Waiting.ts"
import { client, foreign } from "../LogReader.ts"
import type { Scene } from "../Scene.ts"
import { apis } from "../TcpProxy.ts"
import { addPartitions, configureBroker } from "../Topic.ts"
import type { Fault } from "./Fault.ts"

const killed: Fault = {
  number: 6,
  name: "broker killed and started again",
  bound: 30,
  run: async (scene) => {
    const { cluster } = scene.world
    const broker = scene.random.pick(cluster.ids)
    await scene.relay()
    const writing = scene.write()
    await writing.more(scene.random.between(50, 150))
    await cluster.kill(broker, "SIGKILL")
    await writing.more(100)
    await cluster.restart(broker)
    await cluster.settled()
    await writing.more(100)
    return scene.judge()
  }
}

const halfOpen: Fault = {
  number: 6,
  name: "connections to the broker half open",
  long: true,
  bound: 30,
  run: async (scene) => {
    const { proxy } = scene.world
    await scene.relay({ proxied: true })
    const writing = scene.write()
    await writing.more(scene.random.between(50, 150))
    proxy.set({ request: () => "swallow", answer: () => "swallow" })
    await proxy.catches()
    await writing.more(100)
    // new connections work; the old ones never answer the requests that were swallowed
    proxy.pass()
    await writing.more(100)
    return scene.judge()
  }
}

const lostAnswer: Fault = {
  number: 6,
  name: "answers lost after the append",
  bound: 20,
  run: async (scene) => {
    const { proxy } = scene.world
    await scene.relay({ proxied: true })
    const writing = scene.write()
    for (let round = 0; round < 4; round++) {
      await writing.more(scene.random.between(20, 100))
      proxy.set({ answer: (api) => (api === apis.produce ? "cut" : "pass") })
      await proxy.catches()
      proxy.pass()
    }
    await writing.more(50)
    return scene.judge()
  }
}

/** Sends a record to every partition with the relay's producer id and the next epoch. */
const forge = async (scene: Scene): Promise<void> => {
  const { proxy } = scene.world
  const relay = proxy.producers.at(-1)
  if (relay === undefined) throw new Error("the relay has no producer id yet")
  proxy.impersonate({ id: relay.id, epoch: relay.epoch + 1 })
  const producer = client(proxy.brokers).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  await producer.send({
    topic: scene.topic,
    messages: Array.from({ length: 6 }, (_, partition) => ({ partition, value: "{}", headers: { [foreign]: "1" } }))
  })
  await producer.disconnect()
}

const fenced: Fault = {
  number: 7,
  name: "producer fenced by a later epoch of its id",
  long: true,
  bound: 20,
  run: async (scene) => {
    const { proxy } = scene.world
    proxy.acknowledged = 0
    await scene.relay({ proxied: true })
    const writing = scene.write()
    await until("the relay sends", () => proxy.acknowledged > 0)
    for (let round = 0; round < 3; round++) {
      await writing.more(scene.random.between(20, 100))
      const count = proxy.producers.length
      await forge(scene)
      await until("the relay has a new producer id", () => proxy.producers.length > count)
    }
    await writing.more(50)
    return scene.judge()
  }
}

const day = 86_400_000

const forgotten: Fault = {
  number: 7,
  name: "producer ids forgotten by the broker",
  long: true,
  bound: 20,
  run: async (scene) => {
    const { brokers } = scene.world.kafka
    await scene.relay()
    const writing = scene.write()
    // the broker checks every second, and then forgets each producer that has not sent for a millisecond
    await configureBroker(brokers, { "producer.id.expiration.ms": "1" })
    try {
      await writing.more(1_500)
    } finally {
      await configureBroker(brokers, { "producer.id.expiration.ms": String(day) })
    }
    await writing.more(50)
    return scene.judge()
  }
}

/** Adding partitions moves keys, which no producer can prevent: nothing may be lost; disorder is reported only. */
const repartitioned: Fault = {
  number: 16,
  name: "partitions added under load (disorder is reported only)",
  long: true,
  bound: 30,
  run: async (scene) => {
    const relay = await scene.relay()
    const writing = scene.write()
    await writing.more(200)
    await addPartitions(scene.world.kafka.brokers, scene.topic, 12)
    await writing.more(200)
    // a running relay learns of new partitions within minutes, a new relay at once
    await relay.signal("SIGTERM")
    await scene.relay()
    await writing.more(200)
    const outcome = await scene.judge()
    const { inversions, moved } = outcome.judgement
    scene.notes.push(
      `${moved} keys moved to another partition; by the time of their appends ${inversions} came out of order`
    )
    return { ...outcome, broken: outcome.broken.filter((what) => /lost|never committed|ledger/u.test(what)) }
  }
}

export const faults: ReadonlyArray<Fault> = [killed, halfOpen, lostAnswer, fenced, forgotten, repartitioned]
