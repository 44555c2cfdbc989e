/**
 * Finds the documents in a stream of bytes, in bounded memory: one on each line (NDJSON), or one that is the whole
 * stream.
 */
import { Document } from "@invoice/core"
import { Result } from "effect"

/** `guess`: `lines` when the first line that isn't blank is a JSON value or is in braces, else `whole`. */
export type Mode = "lines" | "whole" | "guess"

export interface Found {
  /** Its line, from 1; undefined for the only document of the stream. */
  readonly line: number | undefined
  /** Undefined when it is larger than the limit. */
  readonly bytes: Buffer | undefined
}

export interface DocumentSplitter {
  /** The documents that end within the next bytes. */
  readonly push: (chunk: Buffer) => ReadonlyArray<Found>
  /** The documents that end with the stream. */
  readonly end: () => ReadonlyArray<Found>
}

const newline = 0x0a
const lineEnd = Buffer.from([newline])

/** Whether a first line is a document of its own, and not the beginning of one. */
const isDocument = (line: Buffer): boolean => {
  const text = line.toString("latin1").trim()
  return (text.startsWith("{") && text.endsWith("}")) || Result.isSuccess(Document.read(line))
}

const isBlank = (bytes: Buffer | undefined): boolean => bytes?.toString("latin1").trim() === ""

/** Collects bytes; keeps none once they are too many. */
class Collected {
  readonly #maxBytes: number
  #parts: Array<Buffer> = []
  #size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(bytes: Buffer): void {
    this.#size += bytes.length
    if (this.#size > this.#maxBytes) {
      this.#parts = []
    } else {
      this.#parts.push(bytes)
    }
  }

  get bytes(): Buffer | undefined {
    return this.#size > this.#maxBytes ? undefined : Buffer.concat(this.#parts)
  }

  clear(): void {
    this.#parts = []
    this.#size = 0
  }
}

class Splitter implements DocumentSplitter {
  readonly #collected: Collected
  #mode: Mode
  #line = 1
  /** The document of the first line, held back until another one follows: alone it is reported without a line. */
  #first: Found | undefined

  constructor(mode: Mode, maxBytes: number) {
    this.#mode = mode
    this.#collected = new Collected(maxBytes)
  }

  push(chunk: Buffer): ReadonlyArray<Found> {
    const found: Array<Found> = []
    let from = 0
    for (let at = chunk.indexOf(newline); at !== -1 && this.#mode !== "whole"; at = chunk.indexOf(newline, from)) {
      this.#collected.add(chunk.subarray(from, at))
      this.#endLine(found)
      from = at + 1
    }
    this.#collected.add(chunk.subarray(from))
    return found
  }

  end(): ReadonlyArray<Found> {
    const { bytes } = this.#collected
    const found: Array<Found> = []
    if (this.#mode !== "lines") {
      found.push({ line: undefined, bytes })
    } else if (!isBlank(bytes)) {
      this.#tell(bytes, found)
    }
    return this.#first === undefined ? found : [{ ...this.#first, line: undefined }]
  }

  #endLine(found: Array<Found>): void {
    const { bytes } = this.#collected
    if (this.#mode === "guess" && !isBlank(bytes)) {
      if (bytes === undefined || !isDocument(bytes)) {
        this.#mode = "whole"
        this.#collected.add(lineEnd)
        return
      }
      this.#mode = "lines"
      this.#first = { line: this.#line, bytes }
    } else if (!isBlank(bytes)) {
      this.#tell(bytes, found)
    }
    this.#collected.clear()
    this.#line++
  }

  #tell(bytes: Buffer | undefined, found: Array<Found>): void {
    if (this.#first !== undefined) found.push(this.#first)
    this.#first = undefined
    found.push({ line: this.#line, bytes })
  }
}

/** @param options.maxBytes of one document; a larger one is found without its bytes */
export const make = (mode: Mode, options: { readonly maxBytes: number }): DocumentSplitter =>
  new Splitter(mode, options.maxBytes)
