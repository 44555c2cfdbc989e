/**
 * The entry point for programs that don't use Effect: one function, plain data in and out. It needs no pipeline and no
 * network, and runs in browsers.
 *
 * @example
 * import { validate } from "@invoice/core/validate"
 *
 * const { status, violations } = validate(await readFile("invoice.json"))
 * if (status !== "Approved") for (const { path, message } of violations) console.error(path, message)
 */
import { Result } from "effect"
import * as Document from "./domain/Document.ts"
import * as Invoice from "./domain/Invoice.ts"
import * as InvoiceParser from "./domain/InvoiceParser.ts"
import * as Profile from "./domain/Profile.ts"
import type { Violation } from "./domain/Violation.ts"

export interface Validation {
  /**
   * `Approved`: no rule of severity error is broken. `Rejected`: one is. `Invalid`: the input isn't an invoice that can
   * be judged, because it isn't JSON, has the wrong shape, or has an impossible value such as 10.555 USD.
   */
  readonly status: "Approved" | "Rejected" | "Invalid"
  /** Every reason, at most 100 of an invalid document; an approved invoice may have warnings. */
  readonly violations: ReadonlyArray<Violation>
  /** What was read, in its canonical form: amounts as exact decimal strings, times in UTC. Absent when `Invalid`. */
  readonly invoice?: Invoice.EncodedInvoice
}

export interface Options {
  /** The rules to judge by. Default: the core profile. */
  readonly profile?: Profile.Profile
}

/**
 * Judges an invoice as the pipeline would. Total: every input gets an answer, which is plain data that JSON can hold.
 * It throws only what a rule of a profile of your own throws.
 *
 * @param input JSON as a text or as bytes in UTF-8, or an object. Amounts are exact in a text, in bytes and in strings;
 * a JavaScript number is taken by its shortest decimal, and refused above 2^53
 */
export const validate = (input: unknown, options: Options = {}): Validation => {
  const read = readInvoice(input)
  if (Result.isFailure(read)) {
    return { status: "Invalid", violations: read.failure }
  }
  const { status, violations } = Profile.judge(options.profile ?? Profile.core, read.success)
  return { status, violations, invoice: Invoice.encode(read.success) }
}

const readInvoice = (input: unknown): Result.Result<Invoice.Invoice, ReadonlyArray<Violation>> => {
  try {
    const document = Document.read(input)
    return Result.isFailure(document)
      ? Result.fail([document.failure])
      : Result.mapError(InvoiceParser.read(document.success), ({ violations }) => violations)
  } catch {
    // an object whose properties throw: the thrown value may be hostile too, so it isn't inspected
    return Result.fail([{ code: "INV-TYPE", severity: "error", path: "", message: "can't be read: a property throws" }])
  }
}
