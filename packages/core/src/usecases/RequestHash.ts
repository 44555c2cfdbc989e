/** The hash by which a store tells whether two requests with one idempotency key ask for the same. */
import { Effect } from "effect"
import * as Invoice from "../domain/Invoice.ts"

// every runtime has it, browsers in a secure context; the core is compiled with the types of ECMAScript alone
declare const crypto: {
  readonly subtle: { readonly digest: (algorithm: string, data: Uint8Array) => Promise<ArrayBuffer> }
}
declare const TextEncoder: new () => { readonly encode: (text: string) => Uint8Array }

const encoder = new TextEncoder()

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/**
 * SHA-256 of the invoice's canonical JSON, in hexadecimal digits. A client that leaves the id to us asks for the same
 * whenever the rest is the same, so a generated id is left out.
 */
export const of = (invoice: Invoice.Invoice, options: { readonly idGenerated: boolean }): Effect.Effect<string> =>
  Effect.promise(async () => {
    const { id, ...rest } = Invoice.encode(invoice)
    const text = JSON.stringify(options.idGenerated ? rest : { id, ...rest })
    let digest = ""
    for (const byte of new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)))) digest += hex[byte]
    return digest
  })
