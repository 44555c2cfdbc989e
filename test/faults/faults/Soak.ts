import { randomUUID } from "node:crypto"
import { readFile } from "node:fs/promises"
import { connect } from "../../programs/Sql.ts"
import { pause, until } from "../../programs/Waiting.ts"
import * as Ledger from "../Ledger.ts"
import { client } from "../LogReader.ts"
import type { Judgement } from "../Oracle.ts"
import { broken } from "../Oracle.ts"
import type { Scene } from "../Scene.ts"
import { size } from "../Topic.ts"
import { keys } from "../World.ts"
import type { Fault } from "./Fault.ts"

const segments = 6

/**
 * With so many keys each aggregate's row changes only a few dozen times. While a snapshot is open, Postgres can't clean
 * up old versions of a row: on few keys each row would have tens of thousands, and the writers would be slow, not the
 * relay.
 */
const manyKeys = 40_000

/** A long load with transactions open all the time: the throughput of the last sixth must be close to the first's. */
const load: Fault = {
  number: 11,
  name: "a long load under long transactions, flat throughput",
  bound: 60,
  soak: true,
  run: async (scene) => {
    const { kafka, postgres, soak } = scene.world
    const minutes = soak?.minutes ?? 30
    await scene.relay({ env: { RELAY_LEASE_MS: "10000" } })
    await Ledger.addKeys(scene.sql, keys, manyKeys)
    const elsewhere = connect(postgres.url("postgres"), 1)
    const sessions = [await scene.sql.session(), await elsewhere.session()]
    for (const session of sessions) {
      await session.query("begin isolation level repeatable read")
      await session.query("select pg_current_xact_id()::text")
    }
    scene.write({ restMillis: 2, keys: manyKeys })
    const rates: Array<number> = []
    const behind: Array<number> = []
    for (let segment = 0, before = 0; segment < segments; segment++) {
      const startedAt = performance.now()
      await pause((minutes * 60_000) / segments)
      const committed = await Ledger.count(scene.sql)
      const now = await size(kafka.brokers, scene.topic)
      rates.push((now - before) / ((performance.now() - startedAt) / 1_000))
      behind.push(Math.max(0, committed - now))
      before = now
    }
    const outcome = await scene.judge({ quietSeconds: 60 })
    for (const session of sessions) await session.release()
    await elsewhere.close()
    const ratio = (rates.at(-1) ?? 0) / (rates[0] ?? 1)
    scene.notes.push(
      `${minutes} min; events/s in each sixth: ${rates.map(Math.round).join(", ")}; last to first × ${ratio.toFixed(2)}`,
      `committed and not published at the end of each: ${behind.join(", ")}`
    )
    return { ...outcome, broken: [...outcome.broken, ...(ratio < 0.7 ? ["the throughput fell"] : [])] }
  }
}

/** Judges a log that is too long to be kept in memory: it keeps only the newest version of each key. */
const countOf = async (scene: Scene, events: number): Promise<Judgement> => {
  const newest = new Map<string, number>()
  let inversions = 0
  let duplicates = 0
  let delivered = 0
  const consumer = client(scene.world.kafka.brokers).consumer({ groupId: `faults-${randomUUID()}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [scene.topic], fromBeginning: true })
  let read = 0
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { key, value } of batch.messages) {
        const name = String(key)
        const { ver } = JSON.parse(String(value))
        const last = newest.get(name) ?? 0
        if (ver <= last) duplicates += 1
        else {
          if (ver > last + 1) inversions += 1
          newest.set(name, ver)
          delivered += 1
        }
      }
      read += batch.messages.length
    }
  })
  const end = await size(scene.world.kafka.brokers, scene.topic)
  await until("the log is read", () => read >= end, { seconds: 3_600, every: 200 })
  await consumer.disconnect()
  return {
    events,
    lost: events - delivered,
    invented: 0,
    inversions,
    duplicates,
    lateDuplicates: 0,
    moved: 0,
    silence: 0
  }
}

const residentMegabytes = async (pid: number | undefined): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, "utf8")
  return Number(/VmRSS:\s+(\d+)/u.exec(status)?.[1] ?? 0) / 1_024
}

const chunk = 200_000
const mostMegabytes = 300

/** The relay's memory does not grow with the backlog. Reads /proc, so it needs Linux. */
const backlog: Fault = {
  number: 12,
  name: "a huge backlog in bounded memory",
  bound: 7_200,
  soak: true,
  run: async (scene) => {
    const { kafka, soak } = scene.world
    const events = soak?.backlog ?? 10_000_000
    for (let made = 0; made < events; made += chunk) {
      await scene.sql.query("select faults_backlog($1, $2::int8, $3::int4, false)", [
        scene.topic,
        Math.min(chunk, events - made),
        keys
      ])
    }
    const startedAt = performance.now()
    const relay = await scene.relay({ env: { NODE_OPTIONS: "--max-old-space-size=192 --max-semi-space-size=16" } })
    const idle = await residentMegabytes(relay.child.pid)
    // the maximum in each tenth of the backlog
    const resident: Array<number> = []
    await until(
      "the backlog is published",
      async () => {
        const published = await size(kafka.brokers, scene.topic)
        const tenth = Math.min(9, Math.floor((published / events) * 10))
        resident[tenth] = Math.max(resident[tenth] ?? 0, await residentMegabytes(relay.child.pid))
        return published >= events
      },
      { seconds: 7_200, every: 250 }
    )
    const most = Math.max(...resident.filter(Number.isFinite))
    const rate = events / ((performance.now() - startedAt) / 1_000)
    await relay.signal("SIGTERM")
    const judgement = await countOf(scene, events)
    scene.notes.push(
      `${Math.round(rate)} events/s; MB resident at its start ${Math.round(idle)}, in each tenth ${resident.map(Math.round).join(", ")}`
    )
    return {
      judgement,
      notes: scene.notes,
      broken: [...broken(judgement), ...(most > mostMegabytes ? [`${Math.round(most)} MB resident`] : [])]
    }
  }
}

export const faults: ReadonlyArray<Fault> = [load, backlog]
