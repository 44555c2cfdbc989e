import { OutboxAdmin, PostgresOutbox } from "@invoice/adapters/postgres"
import { Outbox } from "@invoice/core"
import { Effect, Exit, Option, Redacted } from "effect"
import { reasonOf } from "../../programs/Sql.ts"
import { pause, until } from "../../programs/Waiting.ts"
import * as Invoices from "../Invoices.ts"
import { runtimeOf } from "../Quiet.ts"
import type { Scene } from "../Scene.ts"
import type { Fault } from "./Fault.ts"

const partitions = 6

/** Changes the lanes while writers wait for a lock, so that some of them begin before the change and write after it. */
const resize = async (scene: Scene, lanes: number): Promise<void> => {
  const admin = runtimeOf(OutboxAdmin.layer({ url: Redacted.make(scene.url) }))
  const holder = await scene.sql.session()
  try {
    await holder.query("begin")
    await holder.query("lock table outbox_event in share row exclusive mode")
    const resizing = admin.runPromise(OutboxAdmin.resize({ lanes, partitions }))
    await until("the change and writers wait", async () => {
      const waiting = await scene.sql.query(
        "select from pg_locks where relation = 'outbox_event'::regclass and not granted"
      )
      return waiting.length >= 3
    }).finally(() => holder.query("commit"))
    await resizing
  } finally {
    await holder.release()
    await admin.dispose()
  }
}

/** Defaults that an administrator may have set on a database or a role for another application. */
const isolated: Fault = {
  number: 32,
  name: "lanes changed under writers, where repeatable read is the default",
  long: true,
  topic: "left to the product",
  bound: 30,
  run: async (scene) => {
    await scene.sql.query(`alter database ${scene.database} set default_transaction_isolation = 'repeatable read'`)
    await scene.sql.query(`alter database ${scene.database} set synchronous_commit = 'off'`)
    const [api] = await Promise.all([scene.program("api"), scene.relay(), scene.program("validator")])
    const flow = Invoices.flow(scene.random.fork("flow"), () => api.url("api"))
    const refused: Array<string> = []
    for (const lanes of [2, 1, 3, 1]) {
      await flow.more(scene.random.between(50, 100))
      await resize(scene, lanes).catch((error: unknown) => refused.push(`no ${lanes} lanes: ${reasonOf(error)}`))
    }
    await flow.more(50)
    const outcome = await Invoices.judge(scene, flow)
    return { ...outcome, broken: [...outcome.broken, ...refused] }
  }
}

const owners = ["the first owner", "the second owner"] as const

/** A lease that Postgres forgets in a crash must not be given again under the same epoch. */
const forgotten: Fault = {
  number: 33,
  name: "a lane leased across a crash: one owner, whatever is forgotten",
  bound: 20,
  run: async (scene) => {
    const { postgres, long } = scene.world
    const [first, second] = owners.map(() => runtimeOf(PostgresOutbox.layer({ url: Redacted.make(scene.url) })))
    const broken: Array<string> = []
    try {
      for (let round = 0; round < (long ? 8 : 3); round++) {
        const leases = []
        for (const [index, outbox] of [first, second].entries()) {
          if (outbox === undefined) continue
          const owner = owners[index] ?? ""
          // a time without writes, so that the WAL writer sleeps
          await pause(scene.random.between(300, 700))
          const lease = await outbox.runPromise(
            Effect.flatMap(Outbox, ({ acquire }) => acquire({ lane: 0, owner, ttlMillis: 600_000 })).pipe(
              Effect.retry({ times: 50 })
            )
          )
          if (Option.isSome(lease)) leases.push({ outbox, owner, lease: lease.value })
          if (index === 0) {
            await postgres.kill()
            await postgres.launch()
          }
        }
        const holding: Array<string> = []
        for (const { lease, outbox, owner } of leases) {
          const renewed = await outbox.runPromiseExit(
            Effect.flatMap(Outbox, ({ renew }) => renew(lease, 600_000)).pipe(
              Effect.retry({ times: 50, while: ({ _tag }) => _tag === "OutboxUnavailable" })
            )
          )
          if (Exit.isSuccess(renewed)) holding.push(`${owner} under epoch ${lease.epoch}`)
        }
        if (holding.length !== 1) broken.push(`round ${round + 1}: ${holding.join(" and ") || "nobody"} could write`)
        await scene.sql.query("update outbox_cursor set owner = null, lease_until = null")
      }
    } finally {
      await Promise.all([first?.dispose(), second?.dispose()])
    }
    const outcome = await scene.judge()
    return { ...outcome, broken: [...outcome.broken, ...broken] }
  }
}

/** A lease ends at a time of the database's clock. When this clock is set back an hour, that time is an hour ahead. */
const clockSetBack: Fault = {
  number: 35,
  name: "the database's clock set back an hour, the leader dead",
  bound: 20,
  run: async (scene) => {
    const leader = await scene.relay()
    const writing = scene.write({ writers: 4, restMillis: 20 })
    await writing.more(scene.random.between(30, 80))
    await scene.relay()
    const epoch = await scene.epoch()
    await leader.signal("SIGKILL")
    const diedAt = performance.now()
    await scene.sql.query("update outbox_cursor set lease_until = lease_until + interval '1 hour'")
    await until("another relay has the lane", async () => (await scene.epoch()) > epoch, { seconds: 20 }).then(
      () => scene.notes.push(`taken over after ${((performance.now() - diedAt) / 1_000).toFixed(1)} s`),
      () => scene.notes.push("nobody took over within 20 s")
    )
    await writing.more(30)
    return scene.judge({ quietSeconds: 10 })
  }
}

export const faults: ReadonlyArray<Fault> = [isolated, forgotten, clockSetBack]
