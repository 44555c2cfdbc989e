/** `invoice validate`: judges files offline, however large they are, and says by its exit code what it found. */
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import type { Readable, Writable } from "node:stream"
import { WriteStream } from "node:tty"
import { Profile, type Validation, validate } from "@invoice/core"
import { Effect, Predicate } from "effect"
import * as DocumentSplitter from "../validate/DocumentSplitter.ts"
import * as Progress from "../validate/Progress.ts"
import * as Report from "../validate/Report.ts"

/** Most bytes of one document; the largest valid invoice has fewer. */
const maxBytes = 8_388_608

/** Code units of output that are collected before they are written. */
const batch = 65_536

export interface Options {
  /** Paths; `-` is standard input. */
  readonly files: ReadonlyArray<string>
  /** A JSON object a line instead of the table. */
  readonly json: boolean
  /** A document on each line, whatever the first line looks like. */
  readonly lines: boolean
  /** The rules to judge by. Default: the core profile. */
  readonly profile?: Profile.Profile
}

export interface Streams {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
}

/** Every document is approved; some are rejected; something is no invoice that can be judged, or can't be read. */
const exitCodes = { Approved: 0, Rejected: 1, Invalid: 2 } as const

/** The reader of the output has closed it: 128 + 13, the exit code of a program that SIGPIPE has ended. */
const outputClosed = 141

/**
 * Answers the exit code: the highest of its documents' (0, 1 or 2), or 141 when the reader of its output has closed it.
 */
export const run = (options: Options, streams: Streams): Effect.Effect<number> =>
  Effect.promise(async (signal) => {
    const output = new Output(streams.stdout)
    // a terminal that is gone is no reason to stop
    streams.stderr.on("error", () => undefined)
    try {
      return await new Judging(options, output, await progressOf(options.files, streams)).run(streams.stdin, signal)
    } catch (error) {
      if (Predicate.hasProperty(error, "code") && error.code === "EPIPE") {
        return outputClosed
      }
      throw error
    }
  })

const progressOf = async (files: ReadonlyArray<string>, { stderr }: Streams): Promise<Progress.Progress> => {
  if (!(stderr instanceof WriteStream)) {
    return Progress.none
  }
  const sizes = await Promise.all(
    files.map((file) =>
      file === "-"
        ? undefined
        : stat(file).then(
            (stats) => (stats.isFile() ? stats.size : undefined),
            () => 0
          )
    )
  )
  return Progress.on(
    stderr,
    sizes.reduce<number | undefined>(
      (total, size) => (total === undefined || size === undefined ? undefined : total + size),
      0
    )
  )
}

/** Writes in batches, each when the one before was taken, so that a slow reader of the output slows down the input. */
class Output {
  readonly #stream: Writable
  #text = ""

  constructor(stream: Writable) {
    this.#stream = stream
    // the callback of the write gets the error too
    stream.on("error", () => undefined)
  }

  get isTerminal(): boolean {
    return this.#stream instanceof WriteStream
  }

  get colors(): boolean {
    // by NO_COLOR, FORCE_COLOR and TERM, as Node.js reads them
    return this.#stream instanceof WriteStream && this.#stream.hasColors()
  }

  get isFull(): boolean {
    return this.#text.length >= batch
  }

  add(text: string): void {
    this.#text += text
  }

  async flush(): Promise<void> {
    const text = this.#text
    this.#text = ""
    if (text === "") {
      return
    }
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(text, (error) => (error ? reject(error) : resolve()))
    })
  }
}

class Judging {
  readonly #options: Options
  readonly #output: Output
  readonly #progress: Progress.Progress
  readonly #report: Report.Report
  readonly #counts = { Approved: 0, Rejected: 0, Invalid: 0 }
  #bytes = 0

  constructor(options: Options, output: Output, progress: Progress.Progress) {
    this.#options = options
    this.#output = output
    this.#progress = progress
    this.#report = options.json ? Report.json : Report.table(options.files, { colors: output.colors })
  }

  get #documents(): number {
    const { Approved, Invalid, Rejected } = this.#counts
    return Approved + Rejected + Invalid
  }

  async run(stdin: Readable, signal: AbortSignal): Promise<number> {
    this.#output.add(this.#report.begin)
    for (const file of this.#options.files) {
      await this.#file(file, file === "-" ? stdin : createReadStream(file), signal)
    }
    this.#output.add(this.#report.end(this.#counts))
    this.#progress.clear()
    await this.#output.flush()
    const { Invalid, Rejected } = this.#counts
    return exitCodes[Invalid > 0 ? "Invalid" : Rejected > 0 ? "Rejected" : "Approved"]
  }

  async #file(file: string, source: Readable, signal: AbortSignal): Promise<void> {
    const splitter = DocumentSplitter.make(this.#modeOf(file), { maxBytes })
    const before = this.#documents
    const { profile = Profile.core } = this.#options
    const reading = source[Symbol.asyncIterator]()
    for (;;) {
      const next = await reading.next().catch((error: unknown) => ({ done: "failed", error }) as const)
      signal.throwIfAborted()
      if (next.done === "failed") {
        this.#add(file, undefined, invalid("INV-FILE", cannotRead(next.error)))
        break
      }
      const found = next.done === true ? splitter.end() : splitter.push(next.value)
      this.#bytes += next.done === true ? 0 : next.value.length
      for (const { bytes, line } of found) {
        this.#add(file, line, bytes === undefined ? tooLarge : validate(bytes, { profile }))
        if (this.#output.isFull) await this.#flush()
      }
      if (next.done === true) break
      // also a short text: the sender may wait for the answer before it sends the next document
      await this.#flush()
    }
    if (this.#documents === before) this.#add(file, undefined, invalid("INV-FILE", "holds no document"))
  }

  #modeOf(file: string): DocumentSplitter.Mode {
    return this.#options.lines || /\.(ndjson|jsonl)$/iu.test(file) ? "lines" : "guess"
  }

  #add(file: string, line: number | undefined, validation: Validation): void {
    this.#counts[validation.status]++
    this.#output.add(this.#report.document({ file, line, ...validation }))
  }

  async #flush(): Promise<void> {
    if (this.#output.isTerminal) this.#progress.clear()
    await this.#output.flush()
    if (this.#output.isTerminal) this.#progress.restore()
    this.#progress.update(this.#documents, this.#bytes)
  }
}

const invalid = (code: string, message: string): Validation => ({
  status: "Invalid",
  violations: [{ code, severity: "error", path: "", message }]
})

const tooLarge = invalid("INV-JSON", `is larger than ${maxBytes} bytes`)

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "may not be read",
  EISDIR: "is a directory"
}

const cannotRead = (error: unknown): string => {
  const code = Predicate.hasProperty(error, "code") ? String(error.code) : ""
  return reasons[code] ?? (error instanceof Error ? error.message : String(error))
}
