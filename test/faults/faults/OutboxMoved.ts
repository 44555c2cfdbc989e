import { OutboxAdmin } from "@invoice/adapters/postgres"
import { Effect, Redacted } from "effect"
import * as AdvisoryLocks from "../../../packages/adapters/src/postgres/AdvisoryLocks.ts"
import * as OutboxPartitions from "../../../packages/adapters/src/postgres/OutboxPartitions.ts"
import { connect } from "../../programs/Sql.ts"
import { pause, until } from "../../programs/Waiting.ts"
import * as Dump from "../Dump.ts"
import { Forward } from "../Forward.ts"
import { Postgres } from "../Postgres.ts"
import { runtimeOf } from "../Quiet.ts"
import type { Scene } from "../Scene.ts"
import { makeTemplate } from "../World.ts"
import type { Fault } from "./Fault.ts"

const administer = (scene: Scene) => runtimeOf(OutboxAdmin.layer({ url: Redacted.make(scene.url) }))

const partitionSize = 1_000

/** Makes the outbox' partitions so small that a few seconds of load fill many of them. */
const smallPartitions = (scene: Scene): Promise<unknown> =>
  scene.sql.query(`do $$
    declare leaf text;
    begin
      perform pg_advisory_xact_lock(${AdvisoryLocks.partitions});
      for leaf in select inhrelid::regclass::text from pg_inherits where inhparent = 'outbox_event'::regclass loop
        execute 'drop table ' || leaf;
      end loop;
      update outbox_state set leaf_size = ${partitionSize};
    end $$`)

/**
 * The outbox' partitions are emptied and dropped as soon as possible, while writers take their numbers early, commit
 * late, and leave transactions prepared for some time.
 */
const emptied: Fault = {
  number: 13,
  name: "partitions emptied and dropped under late writers",
  long: true,
  bound: 20,
  once: true,
  run: async (scene) => {
    const admin = administer(scene)
    try {
      await smallPartitions(scene)
      await admin.runPromise(OutboxPartitions.ensure)
      await scene.relay()
      const writing = scene.write({ preparing: 3, restMillis: 1 })
      let busy = true
      const keeping = (async () => {
        while (busy) {
          await admin.runPromise(Effect.andThen(OutboxPartitions.ensure, OutboxPartitions.retire(1)))
          await pause(20)
        }
      })()
      await writing.more(6_000)
      const outcome = await scene.judge()
      busy = false
      await keeping
      const [state] = await scene.sql.query(
        "select emptied_seq, (select last_value from outbox_seq) as last from outbox_state"
      )
      const emptied = Number(state?.["emptied_seq"]) / partitionSize
      return {
        ...outcome,
        notes: [
          ...outcome.notes,
          `${emptied} partitions of ${partitionSize} were emptied, of ${state?.["last"]} numbers`
        ],
        broken: [...outcome.broken, ...(emptied > 0 ? [] : ["no partition was emptied, so nothing was proven"])]
      }
    } finally {
      await admin.dispose()
    }
  }
}

/** Uses up transaction ids, so that this cluster is ahead of another one. */
const age = async (postgres: Postgres, ids: number): Promise<void> => {
  const admin = postgres.admin()
  try {
    await admin.query(`do $$
      begin
        for i in 1..${ids} loop
          perform pg_current_xact_id();
          commit;
        end loop;
      end $$`)
  } finally {
    await admin.close()
  }
}

const currentId = async ({ sql }: Scene): Promise<number> =>
  Number((await sql.query("select pg_snapshot_xmax(pg_current_snapshot())::text as id"))[0]?.["id"])

/**
 * A dump with waiting events is restored into another cluster, and more events are committed before it is restamped.
 * The other cluster's transaction ids are behind those of the first, or ahead of them.
 */
const restored = (where: "younger" | "older"): Fault => ({
  number: 14,
  name: `restored from a dump into ${where === "younger" ? "a younger" : "an older"} cluster, then restamped`,
  long: true,
  bound: 90,
  once: true,
  run: async (scene) => {
    const position = "select lo::text || coalesce(pos::text, '') as position from outbox_cursor"
    const [beginning] = await scene.sql.query(position)
    const before = await scene.relay()
    const old = scene.write()
    await old.more(300)
    await until("something is published", async () => {
      const [now] = await scene.sql.query(position)
      return now?.["position"] !== beginning?.["position"]
    })
    await before.signal("SIGTERM")
    await old.more(200)
    await old.stop()
    const other = await Postgres.start()
    try {
      await makeTemplate(other)
      await scene.makeDatabase(other)
      if (where === "older") await age(other, (await currentId(scene)) + 1_000)
      const elsewhere = connect(other.url(scene.database), 1)
      await Dump.restore(scene.sql, elsewhere, other.directory)
      await elsewhere.close()
      await scene.moveTo(other)
      await scene.relay()
      const writing = scene.write()
      await writing.more(200)
      const admin = administer(scene)
      const { published, waiting } = await admin.runPromise(OutboxAdmin.restamp).finally(() => admin.dispose())
      await writing.more(200)
      const outcome = await scene.judge()
      return {
        ...outcome,
        notes: [...outcome.notes, `${waiting} events waited, ${published} were published before`],
        broken: [
          ...outcome.broken,
          ...(waiting > 0 && published > 0 ? [] : ["nothing waited, or nothing was published, so nothing was proven"])
        ]
      }
    } finally {
      await scene.close()
      await other.stop()
    }
  }
})

/** The primary dies under load, its synchronous standby takes over behind the same address. */
const failedOver: Fault = {
  number: 14,
  name: "primary killed, its synchronous standby promoted",
  long: true,
  bound: 30,
  run: async (scene) => {
    const primary = await Postgres.start()
    let standby: Postgres | undefined
    let address: Forward | undefined
    try {
      await makeTemplate(primary)
      await scene.makeDatabase(primary)
      standby = await Postgres.standby(primary)
      address = await Forward.listen(primary.port)
      await scene.moveTo(primary, address.port)
      await Promise.all([scene.relay(), scene.relay()])
      const writing = scene.write({ preparing: 2 })
      await writing.more(500)
      await primary.crash()
      await standby.promote()
      address.to(standby.port)
      await writing.more(500)
      return await scene.judge()
    } finally {
      await scene.close()
      await address?.close()
      await Promise.all([primary.stop(), standby?.stop()])
    }
  }
}

export const faults: ReadonlyArray<Fault> = [emptied, restored("younger"), restored("older"), failedOver]
