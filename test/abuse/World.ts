/** What the scenes share: a Postgres, the control group, and a program that lives on while scenes leave it unharmed. */
import { execFile } from "node:child_process"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Redacted } from "effect"
import type { Random } from "../faults/Random.ts"
import { freshDatabase } from "../infra/database.ts"
import { type Postgres, startPostgres } from "../infra/postgres.ts"
import * as Programs from "../programs/Programs.ts"
import { connect, type Sql } from "../programs/Sql.ts"
import * as ControlGroup from "./control/ControlGroup.ts"
import * as Issuer from "./Issuer.ts"
import * as Resources from "./Resources.ts"

/** How to start the program that a scene attacks. */
export interface Setup {
  /**
   * `api`, with nothing else that works in its process; `up`, with an in-process broker; or `embedded`: `up` on a
   * Postgres of its own, which a scene may harm. Default `api`.
   */
  readonly program?: "api" | "up" | "embedded"
  readonly env?: Readonly<Record<string, string>>
  /** MB of a file system of its own for an embedded Postgres; only root can make one. */
  readonly disk?: number
  /** Whether everybody needs a token of an issuer that the suite runs. Good clients have one. */
  readonly tokens?: boolean
}

export interface Program {
  readonly running: Programs.Running
  readonly pid: number
  readonly api: string
  readonly grpc: string
  readonly metrics: string
  /** Its database; undefined for an embedded one. */
  readonly sql: Sql | undefined
  /** Where an embedded Postgres has its data. */
  readonly dataDir: string | undefined
  /** The id of an invoice that is stored. */
  readonly known: string
  /** Who issues the tokens that this program wants. */
  readonly issuer: Issuer.Issuer | undefined
  /** A good one; empty when the program wants none. */
  readonly token: string
  /** The length of its longest line of output, in characters. */
  readonly longestLine: () => number
  /** Everything it has printed, up to 5,000,000 characters. */
  readonly printed: () => string
}

export interface World {
  readonly random: Random
  readonly long: boolean
  readonly control: ControlGroup.ControlGroup
  /** A program that is set up like this: the last one if it is unharmed, else a new one. */
  readonly program: (setup: Setup, fresh: boolean) => Promise<Program>
  /** Ends the program, so that the next scene gets a new one. */
  readonly dismiss: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** More MB than this, and the next scene gets a new program: garbage of one scene must not hide what another needs. */
const grown = 100

interface Kept {
  readonly key: string
  readonly program: Program
  readonly memory: number
  readonly end: () => Promise<void>
}

const createOne = async (api: string, token: string): Promise<string> => {
  const id = crypto.randomUUID()
  const response = await fetch(`${api}/api/invoice/create`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token === "" ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({
      invoice: {
        id,
        customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
        amount: "10.00",
        currency: "USD",
        items: [{ description: "x", quantity: 1, unit_price: "10.00", total: "10.00" }]
      }
    })
  })
  if (!response.ok) throw new Error(`the program takes no invoice: ${response.status} ${await response.text()}`)
  return id
}

/** Listens to everything that a program prints. */
const listenTo = ({ child }: Programs.Running): Pick<Program, "longestLine" | "printed"> => {
  let printed = ""
  let longest = 0
  for (const output of [child.stdout, child.stderr]) {
    let line = 0
    output?.on("data", (chunk: Buffer) => {
      const text = chunk.toString("utf8")
      if (printed.length < 5_000_000) printed += text
      const [first = "", ...others] = text.split("\n")
      line += first.length
      longest = Math.max(longest, line)
      for (const other of others) {
        line = other.length
        longest = Math.max(longest, line)
      }
    })
  }
  return { longestLine: () => longest, printed: () => printed }
}

/** A directory for an embedded Postgres, and how to remove it. */
const makeDirectory = async (disk: number | undefined) => {
  const path = await mkdtemp(join(tmpdir(), "invoice-abuse-"))
  const run = promisify(execFile)
  if (disk !== undefined) await run("mount", ["-t", "tmpfs", "-o", `size=${disk}m`, "tmpfs", path])
  // Postgres may run as another user, who must be able to enter the directory
  await chmod(path, 0o755)
  return {
    path,
    remove: async (): Promise<void> => {
      if (disk !== undefined) await run("umount", ["--lazy", path])
      await rm(path, { recursive: true, force: true })
    }
  }
}

const launch = async (server: string, setup: Setup): Promise<Omit<Kept, "key">> => {
  const { disk, env = {}, program = "api", tokens = false } = setup
  const issuer = tokens ? await Issuer.start() : undefined
  const isEmbedded = program === "embedded"
  const directory = isEmbedded ? await makeDirectory(disk) : undefined
  const dataDir = directory?.path
  const url = isEmbedded ? undefined : Redacted.value(await freshDatabase(server))
  const remove = async (): Promise<void> => {
    issuer?.stop()
    await directory?.remove()
  }
  let running: Programs.Running
  try {
    running = await Programs.start(isEmbedded ? "up" : program, {
      ...(dataDir === undefined ? {} : { DATA_DIR: dataDir }),
      ...(url === undefined ? {} : { DATABASE_URL: url }),
      ...issuer?.env,
      ...env
    })
  } catch (error) {
    await remove()
    throw error
  }
  const heard = listenTo(running)
  const sql = url === undefined ? undefined : connect(url, 1, "abuse")
  const api = running.url("api")
  const pid = running.child.pid ?? 0
  const token = (await issuer?.token()) ?? ""
  return {
    program: {
      issuer,
      token,
      running,
      pid,
      api,
      grpc: running.url("grpc"),
      metrics: running.url("metrics"),
      sql,
      dataDir,
      known: await createOne(api, token),
      ...heard
    },
    memory: Resources.memory(pid) ?? 0,
    end: async () => {
      // an embedded Postgres must be stopped by its program; a program on a shared Postgres may end at once
      await (isEmbedded ? Programs.stopAll([running]) : running.signal("SIGKILL"))
      await sql?.close()
      await remove()
    }
  }
}

export const start = async (random: Random, long: boolean): Promise<World> => {
  const postgres: Postgres = await startPostgres()
  const control = ControlGroup.start()
  let kept: Kept | undefined
  const dismiss = async (): Promise<void> => {
    const last = kept
    kept = undefined
    await last?.end()
  }
  const isUnharmed = ({ memory, program: { pid, running } }: Kept): boolean =>
    running.isRunning() && (Resources.memory(pid) ?? 0) < memory + grown
  return {
    random,
    long,
    control,
    program: async (setup, fresh) => {
      const key = JSON.stringify(setup)
      if (kept === undefined || fresh || kept.key !== key || !isUnharmed(kept)) {
        await dismiss()
        kept = { key, ...(await launch(postgres.url, setup)) }
      }
      return kept.program
    },
    dismiss,
    stop: async () => {
      control.stop()
      await dismiss()
      await postgres.stop()
    }
  }
}
