/** An identity provider: signs tokens, and serves its keys as a JSON Web Key Set (RFC 7517). */
import { generateKeyPairSync, randomUUID } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { exportJWK, SignJWT } from "jose"

const name = "https://issuer.example"

export interface TokenOptions {
  /** The key that the token names, default the one that has signed it. */
  readonly kid?: string
  /** Characters of a claim that nobody needs, default 0. */
  readonly padding?: number
  /** Seconds from now until it expires, default an hour. */
  readonly seconds?: number
}

export interface Issuer {
  /** Settings of a program that trusts this provider. */
  readonly env: Readonly<Record<string, string>>
  readonly token: (options?: TokenOptions) => Promise<string>
  /** How often the keys were asked for. */
  readonly asked: () => number
  readonly stop: () => void
}

export const start = async (): Promise<Issuer> => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const own = randomUUID()
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: own, use: "sig", alg: "ES256" }] })
  let asked = 0
  const server = createServer((_, response) => {
    asked += 1
    response.writeHead(200, { "content-type": "application/json" }).end(keys)
  })
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return {
    env: { JWT_JWKS_URL: `http://127.0.0.1:${port}/keys`, JWT_ISSUER: name },
    token: ({ kid = own, padding = 0, seconds = 3_600 } = {}) =>
      new SignJWT({ scope: "invoices:read invoices:write", ...(padding === 0 ? {} : { padding: "x".repeat(padding) }) })
        .setProtectedHeader({ alg: "ES256", kid })
        .setIssuer(name)
        .setAudience("invoice")
        .setSubject(randomUUID())
        .setExpirationTime(Math.floor(Date.now() / 1_000) + seconds)
        .sign(privateKey),
    asked: () => asked,
    stop: () => {
      server.close()
      server.closeAllConnections()
    }
  }
}
