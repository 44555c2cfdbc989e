/** Sends invoices as clients do, each until the API takes it, and judges the results. */
import { DeadLetter, InvoiceEvent } from "@invoice/core"
import { document } from "@invoice/testing/Generators"
import { pause, until } from "../programs/Waiting.ts"
import * as Expected from "./Expected.ts"
import * as Ledger from "./Ledger.ts"
import * as Oracle from "./Oracle.ts"
import type { Random } from "./Random.ts"
import type { Outcome, Scene } from "./Scene.ts"

export interface Flow {
  /** Ids of the invoices that the API has answered 200 for. */
  readonly taken: ReadonlySet<string>
  /** All invoices that a client has sent, by id, with the verdict that they should get. */
  readonly tried: ReadonlyMap<string, Expected.Case>
  /** How often a client got another answer than 200, or none. */
  readonly refused: () => number
  /** Waits until that many more invoices are taken. */
  readonly more: (invoices: number) => Promise<void>
  readonly stop: () => Promise<void>
}

const clients = 6
const clientSeconds = 10

const send = async (api: string, invoice: unknown): Promise<boolean> => {
  try {
    const response = await fetch(`${api}/api/invoice/create`, {
      method: "POST",
      body: JSON.stringify({ invoice }),
      headers: { "content-type": "application/json" },
      // after this time a client sends the invoice again
      signal: AbortSignal.timeout(clientSeconds * 1_000)
    })
    await response.text()
    return response.ok
  } catch {
    // no connection, or no answer: the API may have taken the invoice or not, so the client sends it again
    return false
  }
}

/** Three of four invoices are good. */
const caseOf = (random: Random): Expected.Case =>
  random.chance(0.75) ? Expected.cases.good : random.pick([Expected.cases.aCentOff, Expected.cases.lineOff])

export interface FlowOptions {
  /** Makes an id; default a random one. */
  readonly id?: () => string
  /** Most milliseconds between two invoices of a client, default 40. */
  readonly restMillis?: number
  /** Runs before the clients begin; it can send a good invoice with the given id. */
  readonly first?: (one: (id: string) => Promise<void>) => Promise<void>
}

/** @param api answers the URL to use now */
export const flow = (random: Random, api: () => string, options: FlowOptions = {}): Flow => {
  const taken = new Set<string>()
  const tried = new Map<string, Expected.Case>()
  let stopping = false
  let refused = 0
  const one = async (kind: Expected.Case, overrides: Readonly<Record<string, unknown>> = {}): Promise<void> => {
    const invoice = document({ ...kind.overrides, ...overrides })
    const id = String(invoice["id"])
    tried.set(id, kind)
    while (!(await send(api(), invoice))) {
      if (stopping) return
      refused += 1
      await pause(20)
    }
    taken.add(id)
  }
  const begun = options.first?.((id) => one(Expected.cases.good, { id }))
  const loop = async (): Promise<void> => {
    await begun
    while (!stopping) {
      await one(caseOf(random), options.id === undefined ? {} : { id: options.id() })
      await pause(random.between(0, options.restMillis ?? 40))
    }
  }
  const loops = Array.from({ length: clients }, loop)
  return {
    taken,
    tried,
    refused: () => refused,
    more: (invoices) => {
      const wanted = taken.size + invoices
      return until(`${invoices} more invoices are taken`, () => taken.size >= wanted)
    },
    stop: async () => {
      stopping = true
      await Promise.all(loops)
    }
  }
}

const deadLetters = DeadLetter.topicOf(InvoiceEvent.topics.Pending)
const topics = [...Object.values(InvoiceEvent.topics), deadLetters]

const pendingCount = async ({ sql }: Scene): Promise<number> =>
  Number((await sql.query("select count(*)::int as count from invoice where status = 'Pending'"))[0]?.["count"])

/** Waits until no invoice is pending but the poisoned ones, or no more verdicts come. */
const allDecided = async (scene: Scene, poison: number): Promise<void> => {
  for (let before = Number.POSITIVE_INFINITY, now = await pendingCount(scene); now > poison && now < before; ) {
    before = now
    await until(
      "more verdicts",
      async () => {
        now = await pendingCount(scene)
        return now < before
      },
      { seconds: 2 * scene.quietSeconds }
    ).catch(() => {})
  }
}

/** Compares the events that the store committed with the expected ones: the values of creations, and the verdicts. */
const faultsOf = (
  committed: ReadonlyArray<Ledger.Committed>,
  tried: Flow["tried"]
): { readonly values: ReadonlyArray<string>; readonly verdicts: ReadonlyArray<string> } => {
  const values: Array<string> = []
  const verdicts: Array<string> = []
  for (const { key, topic, value, ver } of committed) {
    const wanted = tried.get(key)
    if (wanted === undefined) continue
    if (ver === 1) {
      if (topic !== InvoiceEvent.topics.Pending || value !== Expected.createdValue(key))
        values.push(`${topic}: ${value}`)
    } else {
      const fault = Expected.faultOfVerdict({ ...wanted, id: key }, value)
      if (fault !== undefined || topic !== InvoiceEvent.topics[wanted.status])
        verdicts.push(fault ?? `${key}: ${topic}`)
    }
  }
  return { values, verdicts }
}

/** The longest time from the creation of an invoice to the first record of its verdict, in seconds. */
const waitedForVerdicts = (
  committed: ReadonlyArray<Ledger.Committed>,
  published: ReadonlyArray<Oracle.Published>
): number => {
  const created = new Map(committed.filter(({ ver }) => ver === 1).map(({ at, key }) => [key, at]))
  const firsts = Oracle.firstsOf(published)
  return (
    committed.reduce((most, { id, key, ver }) => {
      const at = created.get(key)
      const first = firsts.get(id)
      return ver === 1 || at === undefined || first === undefined ? most : Math.max(most, first - at)
    }, 0) / 1_000
  )
}

export interface JudgeOptions {
  /** Invoices for which the store refuses every verdict: their messages become dead letters, and they stay pending. */
  readonly poison?: ReadonlyArray<string>
}

export const judge = async (
  scene: Scene,
  { stop, taken, tried }: Flow,
  { poison = [] }: JudgeOptions = {}
): Promise<Outcome> => {
  await stop()
  await allDecided(scene, poison.length)
  const committed = await Ledger.committedByStore(scene.sql)
  // other scenes' invoices are in the same topics
  const ours = (await scene.published(committed, { topics })).filter(({ key }) => tried.has(key))
  const dead = ours.filter(({ key, topic }) => topic === deadLetters && !poison.includes(key))
  const published = ours.filter(({ topic }) => topic !== deadLetters)
  const judgement = Oracle.judge(committed, published)
  const [row] = await scene.sql.query(
    `select count(*)::int as twice from (
      select from invoice_history where from_status = 'Pending' group by invoice_id having count(*) > 1
    ) t`
  )
  const twice = Number(row?.["twice"])
  const stuck = (await pendingCount(scene)) - poison.length
  const stored = new Set(committed.map(({ key }) => key))
  const forgotten = [...taken].filter((id) => !stored.has(id))
  const gaps = Oracle.gaps(committed)
  const { values, verdicts } = faultsOf(committed, tried)
  const counted = [
    [twice, "invoices with more than one verdict"],
    [Math.abs(stuck), stuck > 0 ? "invoices still Pending" : "verdicts on invoices that nobody can write one for"],
    [dead.length, "dead letters of good messages"],
    [forgotten.length, "invoices were taken and not stored"],
    [gaps.length, "invoices whose events have gaps"],
    [Oracle.ahead(committed, published), "verdicts published before their invoice's creation"],
    [values.length, `values that break the contract, such as ${values[0]}`],
    [verdicts.length, `verdicts that are not what the rules say, such as ${verdicts[0]}`]
  ] as const
  return {
    judgement: { ...judgement, waited: Math.max(judgement.waited ?? 0, waitedForVerdicts(committed, published)) },
    twice,
    stuck,
    wrong: verdicts.length,
    notes: [`${taken.size} invoices`, ...scene.notes],
    broken: [
      ...Oracle.broken(judgement),
      ...counted.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]))
    ]
  }
}
