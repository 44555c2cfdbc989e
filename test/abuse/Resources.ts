/** What a process uses, as Linux counts it. */
import { readFileSync } from "node:fs"

/** Clock ticks in a second, which Linux fixes for programs (`USER_HZ`). */
const ticks = 100

/** Resident memory in MB (10⁶ bytes); undefined when the process has ended. */
export const memory = (pid: number): number | undefined => {
  try {
    const kilobytes = /^VmRSS:\s+(\d+)/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return kilobytes === undefined ? undefined : (Number(kilobytes) * 1_024) / 1e6
  } catch {
    return undefined
  }
}

/** Seconds of CPU time that the process has used. */
export const cpuSeconds = (pid: number): number => {
  // the fields after the name, which may hold spaces and brackets
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\)\s/su, "")
    .split(" ")
  return (Number(fields[11]) + Number(fields[12])) / ticks
}

export interface MemoryWatch {
  readonly before: number
  readonly peak: () => number
  readonly now: () => number
  readonly stop: () => void
}

/** Samples the memory of a process. Calls `tooMuch` once when it has grown by more than `limit` MB. */
export const watchMemory = (pid: number, limit: number, tooMuch: () => void): MemoryWatch => {
  const before = memory(pid) ?? 0
  let peak = before
  const sample = (): void => {
    peak = Math.max(peak, memory(pid) ?? 0)
    if (peak <= before + limit) return
    clearInterval(sampling)
    tooMuch()
  }
  const sampling = setInterval(sample, 25)
  return { before, peak: () => peak, now: () => memory(pid) ?? 0, stop: () => clearInterval(sampling) }
}
