/** Shows the progress in one line of a terminal, which each update overwrites; shows nothing without a terminal. */
import type { WriteStream } from "node:tty"

/** Milliseconds before the first line, and between two: a quick run shows no line. */
const interval = 200

const eraseLine = "\r\u001b[K"

export interface Progress {
  /** Called often; writes seldom. */
  readonly update: (documents: number, bytes: number) => void
  /** Removes the line, before something else is written to the same terminal and at the end. */
  readonly clear: () => void
  /** Writes the line again after something else was written. */
  readonly restore: () => void
}

export const none: Progress = { update: () => undefined, clear: () => undefined, restore: () => undefined }

/** @param totalBytes of all input, where that is known */
export const on = (terminal: WriteStream, totalBytes: number | undefined): Progress => {
  const startedAt = performance.now()
  let last = startedAt
  let line = ""
  const write = (): void => {
    if (line !== "") terminal.write(`${eraseLine}${line}`)
  }
  return {
    update: (documents, bytes) => {
      const now = performance.now()
      if (now - last >= interval) {
        last = now
        const share = totalBytes ? `, ${Math.floor((100 * bytes) / totalBytes)} %` : ""
        const rate = Math.round((1000 * documents) / (now - startedAt))
        line = `${documents.toLocaleString("en")} documents${share}, ${(bytes / 1e6).toFixed(1)} MB, ${rate.toLocaleString("en")}/s`
        write()
      }
    },
    clear: () => {
      if (line !== "") terminal.write(eraseLine)
    },
    restore: write
  }
}
