/** An identity provider of the tests: keys, tokens, and a key set on a server that can fail. */
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"
import { exportJWK, type JWK, SignJWT } from "jose"

export const issuer = "https://issuer.example"

export interface Pair {
  readonly id: string
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export const pair = (id: string): Pair => ({ id, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) })

export const publicPem = ({ publicKey }: Pair): string => publicKey.export({ type: "spki", format: "pem" }).toString()

export type Claims = Readonly<Record<string, unknown>>

const seconds = (): number => Math.floor(Date.now() / 1000)

/** Claims that are accepted; `undefined` leaves one out. */
export const claims = (changes: Claims = {}): Claims => ({
  iss: issuer,
  aud: "invoice",
  sub: "alice",
  scope: "invoices:read invoices:write",
  exp: seconds() + 3_600,
  ...changes
})

export const inSeconds = (count: number): number => seconds() + count

export const sign = (
  by: Pair,
  changes: Claims = {},
  header: Readonly<Record<string, string | undefined>> = {}
): Promise<string> =>
  new SignJWT(JSON.parse(JSON.stringify(claims(changes))))
    .setProtectedHeader(JSON.parse(JSON.stringify({ alg: "ES256", kid: by.id, ...header })))
    .sign(by.privateKey)

/** A token that is signed with a shared secret. */
export const signHs = (secret: string, changes: Claims = {}): Promise<string> =>
  new SignJWT(JSON.parse(JSON.stringify(claims(changes))))
    .setProtectedHeader({ alg: "HS256" })
    .sign(Buffer.from(secret))

/** A token that doesn't name its key. */
export const signUnnamed = (by: Pair): Promise<string> =>
  new SignJWT(claims() as Record<string, unknown>).setProtectedHeader({ alg: "ES256" }).sign(by.privateKey)

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A token without a signature, as RFC 7519 calls it. */
export const unsecured = (): string => `${base64({ alg: "none" })}.${base64(claims())}.`

/** A token whose secret is the text of a public key, which everybody has (RFC 8725, 2.1). */
export const signedWithPublicKey = (by: Pair): Promise<string> =>
  new SignJWT(claims() as Record<string, unknown>)
    .setProtectedHeader({ alg: "HS256", kid: by.id })
    .sign(Buffer.from(publicPem(by)))

export interface Provider {
  readonly url: string
  /** How often the keys were asked for. */
  readonly asked: () => number
  readonly serve: (...pairs: ReadonlyArray<Pair>) => void
  /** From now on each request is answered so; undefined: with the keys. */
  readonly fail: (how: "500" | "garbage" | "redirect" | "huge" | undefined) => void
}

const jwkOf = async ({ id, publicKey }: Pair): Promise<JWK> => ({
  ...(await exportJWK(publicKey)),
  kid: id,
  use: "sig"
})

/** A provider's key set on a port of its own, while the scope lasts. */
export const provider = (...first: ReadonlyArray<Pair>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      let pairs = first
      let asked = 0
      let failing: Parameters<Provider["fail"]>[0]
      const server = createServer(async (_, response) => {
        asked++
        if (failing === "500") response.writeHead(500).end()
        else if (failing === "garbage") response.end("<html>")
        else if (failing === "redirect") response.writeHead(302, { location: "/elsewhere" }).end()
        else if (failing === "huge") response.end(`{"keys":[],"padding":"${"x".repeat(300_000)}"}`)
        else response.end(JSON.stringify({ keys: await Promise.all(pairs.map(jwkOf)) }))
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const made: Provider = {
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
        asked: () => asked,
        serve: (...served) => {
          pairs = served
        },
        fail: (how) => {
          failing = how
        }
      }
      return { made, server }
    }),
    ({ server }) =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      })
  ).pipe(Effect.map(({ made }) => made))
