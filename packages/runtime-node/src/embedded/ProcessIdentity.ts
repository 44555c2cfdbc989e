/** Telling whether a process that wrote its number somewhere is still there. */
import * as Fs from "node:fs/promises"

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** Tells a process from another one that got its number later: field 22 of proc(5)'s stat, where there is a /proc. */
export const startTime = async (pid: number): Promise<string> => {
  const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""
}
