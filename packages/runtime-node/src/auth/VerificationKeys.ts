/** The keys that tokens are checked with: a shared secret, public keys from a file, an identity provider's key set. */
import { createPublicKey } from "node:crypto"
import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  exportJWK,
  type JSONWebKeySet,
  type JWK,
  type JWSHeaderParameters,
  type LocalJWKSet
} from "jose"
import { type Algorithm, algorithms, asymmetric, isSymmetric, symmetric } from "./Algorithm.ts"
import type { JwksEndpoint } from "./JwksEndpoint.ts"

/** Public keys from a file. Keys in PEM have no id, so they are tried whatever id a token names. */
export interface FileKeys {
  readonly keys: LocalJWKSet
  readonly named: boolean
}

export interface VerificationKeys {
  readonly secret?: Uint8Array | undefined
  readonly file?: FileKeys | undefined
  readonly endpoint?: JwksEndpoint | undefined
}

/** The algorithms that these keys can check, with those of an identity provider when there is one. */
export const algorithmsOf = (
  { file, secret }: Pick<VerificationKeys, "file" | "secret">,
  hasEndpoint: boolean
): ReadonlyArray<Algorithm> => [
  ...(hasEndpoint || file !== undefined ? asymmetric : []),
  ...algorithms.filter((name) => isSymmetric(name) && secret !== undefined && secret.length >= symmetric[name])
]

/** The key for a token's header. A secret serves HS* only, and a public key never does. */
export const find = async (
  { endpoint, file, secret }: VerificationKeys,
  header: JWSHeaderParameters
): Promise<CryptoKey | Uint8Array> => {
  if (isSymmetric(header.alg ?? "")) {
    if (secret === undefined) throw new errors.JWKSNoMatchingKey()
    return secret
  }
  if (file !== undefined) {
    try {
      return await file.keys(file.named ? header : { alg: header.alg ?? "" })
    } catch (error) {
      if (endpoint === undefined || !(error instanceof errors.JWKSNoMatchingKey)) throw error
    }
  }
  if (endpoint === undefined) throw new errors.JWKSNoMatchingKey()
  return endpoint.find(header)
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/gu

const fromPem = async (text: string): Promise<FileKeys> => {
  const keys: Array<JWK> = []
  for (const [pem, label = ""] of text.matchAll(pemBlock)) {
    if (label.includes("PRIVATE")) throw new Error("it has a private key: give the public key that belongs to it")
    keys.push(await exportJWK(createPublicKey(pem)))
  }
  if (keys.length === 0) throw new Error("it has neither a key in PEM nor a JSON Web Key Set")
  return { keys: createLocalJWKSet({ keys }), named: false }
}

const fromJwks = (text: string): FileKeys => {
  const set = JSON.parse(text) as JSONWebKeySet
  const keys = createLocalJWKSet(set)
  if (set.keys.length === 0) throw new Error("its key set is empty")
  if (set.keys.some((key) => "d" in key || "k" in key)) {
    throw new Error("it has a private key or a secret: give public keys only")
  }
  return { keys, named: true }
}

/** Keys in PEM (`PUBLIC KEY` or `CERTIFICATE`, several in a row), or a JSON Web Key Set. Rejects with what is wrong. */
export const fromFile = async (text: string): Promise<FileKeys> =>
  text.trimStart().startsWith("{") ? fromJwks(text) : fromPem(text)
