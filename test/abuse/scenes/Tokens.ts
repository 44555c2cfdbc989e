/** Tokens that let nobody in, and cost whoever checks them. */
import { randomUUID } from "node:crypto"
import type { Issuer, TokenOptions } from "../Issuer.ts"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

const unsecured = (token: string): string => {
  const header = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url")
  return `${header}.${token.split(".")[1]}.`
}

const forged = (token: string): string => `${token.slice(0, -8)}AAAAAAAA`

interface Kind {
  readonly name: string
  readonly make: (issuer: Issuer) => Promise<string>
  /** What the program may answer besides 401. */
  readonly also?: number
}

const signed = (options: () => TokenOptions) => (issuer: Issuer) => issuer.token(options())

const kinds: ReadonlyArray<Kind> = [
  { name: "an unknown key", make: signed(() => ({ kid: randomUUID() })) },
  { name: "a forged signature", make: async (issuer) => forged(await issuer.token()) },
  { name: "no signature", make: async (issuer) => unsecured(await issuer.token()) },
  { name: "no longer valid", make: signed(() => ({ seconds: -3_600 })) },
  // a header of this length may be refused as such
  { name: "8 kB", make: signed(() => ({ padding: 6_000, kid: randomUUID() })), also: 431 },
  { name: "no token at all", make: async () => "x".repeat(7_000) }
]

const flood = async (stage: Stage, { also, make, name }: Kind): Promise<void> => {
  const { findings, program } = stage
  const { issuer } = program
  if (issuer === undefined) throw new Error("this scene's program trusts an issuer")
  for (let index = 0; index < stage.pick(60, 1_000) && !stage.enough.aborted; index++) {
    const authorization = `Bearer ${await make(issuer)}`
    const body = JSON.stringify({ id: program.known })
    const { status } = await Sockets.exchange(
      stage,
      Sockets.request("/api/invoice/get", body, { headers: { authorization } })
    )
    findings.answered(`HTTP ${status}`)
    findings.expect(status === 401 || status === also, `${name}: HTTP ${status}, expected 401`)
    if (findings.broken.length > 3) return
  }
  const session = await Sessions.open(stage)
  const bytes = Messages.framed(Messages.get(program.known))
  const headers = { authorization: `Bearer ${await make(issuer)}` }
  const answer = await Sessions.ask(stage, session, `${Messages.service}/Get`, { bytes, headers })
  findings.expect(
    answer === "grpc 16" || answer === `HTTP ${also}`,
    `${name}: ${answer}, expected grpc 16 (UNAUTHENTICATED)`
  )
  session.destroy()
}

const tokens: Scene = {
  name: "tokens that let nobody in",
  promise: "401 on each protocol; unknown keys make no flood of fetches; good tokens are served",
  setup: () => ({ tokens: true }),
  attack: async (stage) => {
    const { findings, program } = stage
    const asked = program.issuer?.asked() ?? 0
    for (const kind of kinds) await flood(stage, kind)
    const more = (program.issuer?.asked() ?? 0) - asked
    findings.note(`the issuer's keys were asked for ${more} times`)
    findings.expect(more <= stage.pick(2, 10), `the issuer's keys were asked for ${more} times`)
  }
}

export const scenes: ReadonlyArray<Scene> = [tokens]
