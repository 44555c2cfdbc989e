/** The algorithms that tokens may be signed with (RFC 7518, 3.1; RFC 8037; RFC 9864). */

/** Algorithms whose keys come in pairs. ES256K and the unsecured `none` are not among them. */
export const asymmetric = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519"
] as const

/** Bytes that a secret must have at least, which are those of the hash (RFC 7518, 3.2). */
export const symmetric = { HS256: 32, HS384: 48, HS512: 64 } as const

export type Algorithm = (typeof asymmetric)[number] | keyof typeof symmetric

export const algorithms: ReadonlyArray<Algorithm> = [...asymmetric, "HS256", "HS384", "HS512"]

export const isSymmetric = (algorithm: string): algorithm is keyof typeof symmetric =>
  Object.hasOwn(symmetric, algorithm)
