import { Lane } from "@invoice/core"
import { until } from "../../programs/Waiting.ts"
import * as Invoices from "../Invoices.ts"
import type { Scene } from "../Scene.ts"
import type { Fault } from "./Fault.ts"

const partitions = 6

/**
 * Installs a trigger that refuses every verdict on a poisoned invoice. It counts all other writes of verdicts, repeated
 * tries included, and refuses those whose number is within an outage.
 */
const install = async ({ sql }: Scene): Promise<void> => {
  await sql.query("create table faults_poison (id uuid primary key)")
  await sql.query("create table faults_outage (code text not null, first bigint not null, last bigint not null)")
  await sql.query("create sequence faults_visits")
  await sql.query(`create function faults_refuse() returns trigger language plpgsql as $$
    declare outage faults_outage; visit bigint;
    begin
      if exists (select from faults_poison where id = new.id) then
        raise exception 'poison' using errcode = '23514';
      end if;
      visit := nextval('faults_visits');
      select * into outage from faults_outage where visit between first and last;
      if found then
        raise exception 'the store takes no writes' using errcode = outage.code;
      end if;
      return new;
    end $$`)
  await sql.query("create trigger faults_refuse before update on invoice for each row execute function faults_refuse()")
}

const codes = [
  ["53100", "disk full"],
  ["25006", "read only"]
] as const

/** A batch is tried message by message because of one poison message, and meanwhile the store refuses all verdicts. */
const outage: Fault = {
  number: 36,
  name: "the store takes no writes for a while: disk full, read only",
  topic: "left to the product",
  bound: 45,
  run: async (scene) => {
    await install(scene)
    const api = await scene.program("api")
    const flow = Invoices.flow(scene.random.fork("flow"), () => api.url("api"))
    await flow.more(120)
    const poison = [...Map.groupBy(flow.taken, (id) => Lane.of(id, partitions)).values()].flatMap(([id]) => id ?? [])
    for (const id of poison) await scene.sql.query("insert into faults_poison values ($1::uuid)", [id])
    let first = scene.random.between(4, 12)
    for (const [code] of codes) {
      await scene.sql.query("insert into faults_outage values ($1, $2::int8, $3::int8)", [code, first, first + 34])
      first += scene.random.between(40, 50)
    }
    await Promise.all([scene.relay(), scene.program("validator")])
    await flow.more(50)
    await readOnly(scene, flow)
    await flow.more(50)
    const outcome = await Invoices.judge(scene, flow, { poison })
    scene.notes.push(
      `${poison.length} invoices nobody can write a verdict for; ${codes.map(([, name]) => name).join(", ")}`
    )
    return outcome
  }
}

/** Makes the server read only, as a primary that became a standby is, until clients were refused; then undoes it. */
const readOnly = async (scene: Scene, flow: Invoices.Flow): Promise<void> => {
  const admin = scene.world.postgres.admin()
  const session = await admin.session()
  try {
    await session.query("alter system set default_transaction_read_only = on")
    await session.query("select pg_reload_conf()")
    const before = flow.refused()
    await until("clients are refused", () => flow.refused() > before + 20)
  } finally {
    await session.query("alter system reset default_transaction_read_only")
    await session.query("select pg_reload_conf()")
    await session.release()
    await admin.close()
  }
}

/** The poison message is the only one, so no other message shows that the store works; then others come behind it. */
const alone: Fault = {
  number: 37,
  name: "a poison message alone on its partition, others behind it",
  topic: "left to the product",
  bound: 30,
  run: async (scene) => {
    await install(scene)
    const partition = scene.random.between(0, partitions - 1)
    const id = (): string => {
      for (;;) {
        const candidate = crypto.randomUUID()
        if (Lane.of(candidate, partitions) === partition) return candidate
      }
    }
    const [api, validator] = await Promise.all([scene.program("api"), scene.program("validator"), scene.relay()])
    const poison = id()
    await scene.sql.query("insert into faults_poison values ($1::uuid)", [poison])
    const flow = Invoices.flow(scene.random.fork("flow"), () => api.url("api"), {
      id,
      restMillis: 50,
      first: async (one) => {
        await one(poison)
        await until("the validator tried it", () => validator.output().includes("not handled yet"))
      }
    })
    await flow.more(60)
    return Invoices.judge(scene, flow, { poison: [poison] })
  }
}

export const faults: ReadonlyArray<Fault> = [outage, alone]
