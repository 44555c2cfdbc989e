/** How far it is, in one line of a terminal that is written over; nothing where there is no terminal. */
import type { WriteStream } from "node:tty"

/** Milliseconds before the first line, and between two: what is done at once shows none. */
const interval = 200

const eraseLine = "\r\u001b[K"

export interface Progress {
  /** Called often; writes seldom. */
  readonly update: (documents: number, bytes: number) => void
  /** Before something else is written to the same terminal, and in the end. */
  readonly clear: () => void
  /** After that. */
  readonly restore: () => void
}

export const none: Progress = { update: () => undefined, clear: () => undefined, restore: () => undefined }

/** @param totalBytes of all that will come, where that is known */
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
