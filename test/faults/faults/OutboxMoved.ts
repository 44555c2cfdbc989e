import { OutboxAdmin } from "@invoice/adapters/postgres"
import { Effect, ManagedRuntime, Redacted } from "effect"
import * as Leaves from "../../../packages/adapters/src/postgres/Leaves.ts"
import type { Scene } from "../Scene.ts"
import { pause } from "../Waiting.ts"
import type { Fault } from "./Fault.ts"

const administer = (scene: Scene) => ManagedRuntime.make(OutboxAdmin.layer({ url: Redacted.make(scene.url) }))

const leafSize = 1_000

/** Leaves small enough that a few seconds of load fill many of them. */
const smallLeaves = (scene: Scene): Promise<unknown> =>
  scene.sql.query(`do $$
    declare leaf text;
    begin
      perform pg_advisory_xact_lock(${Leaves.lockKey});
      for leaf in select inhrelid::regclass::text from pg_inherits where inhparent = 'outbox_event'::regclass loop
        execute 'drop table ' || leaf;
      end loop;
      update outbox_state set leaf_size = ${leafSize};
    end $$`)

/**
 * Leaves are emptied and dropped the moment they may be, while writers take their numbers early, commit late, and leave
 * prepared transactions lying about.
 */
const emptied: Fault = {
  number: 13,
  name: "leaves emptied and dropped under late writers",
  run: async (scene) => {
    const admin = administer(scene)
    try {
      await smallLeaves(scene)
      await admin.runPromise(Leaves.ensure)
      await scene.relay()
      const writing = scene.write({ preparing: 3, restMillis: 1 })
      let busy = true
      const keeping = (async () => {
        while (busy) {
          await admin.runPromise(Effect.andThen(Leaves.ensure, Leaves.retire(1)))
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
      const leaves = Number(state?.["emptied_seq"]) / leafSize
      return {
        ...outcome,
        notes: [...outcome.notes, `${leaves} leaves of ${leafSize} were emptied, of ${state?.["last"]} numbers`],
        broken: [...outcome.broken, ...(leaves > 0 ? [] : ["no leaf was emptied, so nothing was proven"])]
      }
    } finally {
      await admin.dispose()
    }
  }
}

/** As far as transaction ids of one system lie ahead of another's. */
const shift = 1_000_000n

const shifted = (snapshot: unknown): string | null =>
  typeof snapshot === "string" ? snapshot.replaceAll(/\d+/gu, (id) => String(BigInt(id) + shift)) : null

/** The rows that a dump brings to another system: transaction ids and positions are still those of the old one. */
const restoreElsewhere = async (scene: Scene): Promise<void> => {
  await scene.sql.query(`update outbox_event set xid = (xid::text::bigint + ${shift})::text::xid8`)
  for (const { hi, lane, lo } of await scene.sql.query(
    "select lane, lo::text as lo, hi::text as hi from outbox_cursor"
  )) {
    await scene.sql.query(
      "update outbox_cursor set lo = $1::text::pg_snapshot, hi = $2::text::pg_snapshot where lane = $3::int4",
      [shifted(lo), shifted(hi), Number(lane)]
    )
  }
  await scene.sql.query("update outbox_state set system_identifier = 42")
}

/** A dump is restored into another system with events that wait; more are committed before somebody restamps. */
const restored: Fault = {
  number: 14,
  name: "restored from a dump, then restamped",
  run: async (scene) => {
    const admin = administer(scene)
    try {
      const before = await scene.relay()
      const old = scene.write()
      await old.more(300)
      await before.signal("SIGTERM")
      await old.more(200)
      await old.stop()
      await restoreElsewhere(scene)
      await scene.relay()
      const writing = scene.write()
      await writing.more(200)
      const { published, waiting } = await admin.runPromise(OutboxAdmin.restamp)
      await writing.more(200)
      const outcome = await scene.judge()
      return {
        ...outcome,
        notes: [...outcome.notes, `${waiting} events waited, ${published} were published before`],
        // a relay that takes everything for new would lose nothing, and would be wrong all the same
        broken: [...outcome.broken, ...(outcome.judgement.duplicates > 0 ? ["events were published again"] : [])]
      }
    } finally {
      await admin.dispose()
    }
  }
}

export const faults: ReadonlyArray<Fault> = [emptied, restored]
