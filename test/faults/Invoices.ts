/** Invoices as clients send them, again and again until they are taken, and the judgement on what became of them. */
import { DeadLetter, InvoiceEvent } from "@invoice/core"
import { document } from "@invoice/testing/Generators"
import * as Ledger from "./Ledger.ts"
import * as Oracle from "./Oracle.ts"
import type { Random } from "./Random.ts"
import type { Outcome, Scene } from "./Scene.ts"
import { pause, until } from "./Waiting.ts"

export interface Flow {
  /** Those that the API has answered 200 for. */
  readonly taken: ReadonlySet<string>
  /** All that a client tried. */
  readonly tried: ReadonlySet<string>
  /** Waits until that many more are taken. */
  readonly more: (invoices: number) => Promise<void>
  readonly stop: () => Promise<void>
}

const clients = 6

const send = async (api: string, invoice: unknown): Promise<boolean> => {
  try {
    const response = await fetch(`${api}/api/invoice/create`, {
      method: "POST",
      body: JSON.stringify({ invoice }),
      headers: { "content-type": "application/json" }
    })
    await response.text()
    return response.ok
  } catch {
    // nobody listens, or it fell silent: whether it was taken is unknown, so it is sent again
    return false
  }
}

/** @param api answers the URL to use now */
export const flow = (random: Random, api: () => string): Flow => {
  const taken = new Set<string>()
  const tried = new Set<string>()
  let stopping = false
  const loop = async (): Promise<void> => {
    while (!stopping) {
      // every fifth is wrong by a cent
      const invoice = document(random.chance(0.2) ? { amount: "1050.01" } : {})
      tried.add(String(invoice["id"]))
      while (!(await send(api(), invoice))) await pause(20)
      taken.add(String(invoice["id"]))
      await pause(random.between(0, 10))
    }
  }
  const loops = Array.from({ length: clients }, loop)
  return {
    taken,
    tried,
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

/** Waits as long as verdicts come. */
const allDecided = async (scene: Scene): Promise<void> => {
  for (let before = Number.POSITIVE_INFINITY, now = await pendingCount(scene); now > 0 && now < before; ) {
    before = now
    await until("more verdicts", async () => {
      now = await pendingCount(scene)
      return now < before
    }).catch(() => {})
  }
}

export const judge = async (scene: Scene, { stop, taken, tried }: Flow): Promise<Outcome> => {
  await stop()
  await allDecided(scene)
  const committed = await Ledger.committedByStore(scene.sql)
  // other scenes' invoices are in the same topics
  const ours = (await scene.published(committed, { topics })).filter(({ key }) => tried.has(key))
  const dead = ours.filter(({ topic }) => topic === deadLetters)
  const judgement = Oracle.judge(
    committed,
    ours.filter(({ topic }) => topic !== deadLetters)
  )
  const twice = await scene.sql.query(
    "select invoice_id from invoice_history where from_status = 'Pending' group by invoice_id having count(*) > 1"
  )
  const stuck = await pendingCount(scene)
  const stored = new Set(committed.map(({ key }) => key))
  const forgotten = [...taken].filter((id) => !stored.has(id))
  const wrong = Oracle.gaps(committed)
  const counted = [
    [twice.length, "invoices with more than one verdict"],
    [stuck, "invoices still Pending"],
    [dead.length, "dead letters"],
    [forgotten.length, "invoices were taken and not stored"],
    [wrong.length, "invoices whose events have gaps"]
  ] as const
  return {
    judgement,
    twice: twice.length,
    stuck,
    notes: [`${taken.size} invoices`, ...scene.notes],
    broken: [
      ...Oracle.broken(judgement),
      ...counted.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]))
    ]
  }
}
