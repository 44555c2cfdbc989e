/** What a process uses, as Linux counts it. */
import { readdirSync, readFileSync } from "node:fs"

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

/** A process in the table of all: its parent, and the seconds of CPU time that it and its ended children have used. */
interface Row {
  readonly parent: number
  readonly seconds: number
}

const rowOf = (pid: string): Row | undefined => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\)\s/su, "")
      .split(" ")
    return {
      parent: Number(fields[1]),
      seconds: fields.slice(11, 15).reduce((sum, text) => sum + Number(text), 0) / ticks
    }
  } catch {
    // it has ended meanwhile
    return undefined
  }
}

/** What this process and all that it has started have used. */
const oursSeconds = (): number => {
  const rows = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/u.test(name))
      .flatMap((pid) => {
        const row = rowOf(pid)
        return row === undefined ? [] : [[Number(pid), row] as const]
      })
  )
  const isOurs = (pid: number): boolean => {
    if (pid === process.pid) return true
    const parent = rows.get(pid)?.parent ?? 0
    return parent > 1 && isOurs(parent)
  }
  return [...rows].reduce((sum, [pid, { seconds }]) => sum + (isOurs(pid) ? seconds : 0), 0)
}

/** Seconds that all cores together have been busy, and that they have had. */
const machine = (): { readonly busy: number; readonly all: number } => {
  const line = /^cpu\s+(.*)$/mu.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? ""
  // user, nice, system, idle, waiting, interrupts, soft interrupts, stolen by other machines
  const seconds = line
    .split(" ")
    .slice(0, 8)
    .map((text) => Number(text) / ticks)
  const all = seconds.reduce((sum, one) => sum + one, 0)
  return { all, busy: all - (seconds[3] ?? 0) - (seconds[4] ?? 0) }
}

/** Answers a function that says which share of the machine others have used since now, from 0 to 1. */
export const watchOthers = (): (() => number) => {
  const [before, ours] = [machine(), oursSeconds()]
  return () => {
    const now = machine()
    const others = now.busy - before.busy - (oursSeconds() - ours)
    return Math.min(1, Math.max(0, others / Math.max(0.01, now.all - before.all)))
  }
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
