/** A data directory belongs to one process at a time. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { Effect, type Scope } from "effect"
import { attempt, type EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import { isAlive, startTime } from "./ProcessIdentity.ts"

const lockName = "invoice.lock"

/** Held while this process uses the directory. A lock that a killed process left behind is taken over. */
export const hold = (dataDir: string): Effect.Effect<void, EmbeddedPostgresError, Scope.Scope> => {
  const path = Path.join(dataDir, lockName)
  const take = async (): Promise<void> => {
    const mine = JSON.stringify({ pid: process.pid, started: await startTime(process.pid) })
    for (let tries = 0; tries < 3; tries++) {
      try {
        await Fs.writeFile(path, mine, { flag: "wx" })
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
          throw error
        }
      }
      const holder = await readLock(path)
      if (holder !== undefined && isAlive(holder.pid) && (await startTime(holder.pid)) === holder.started) {
        throw new Error(`another invoice process (pid ${holder.pid}) uses it; stop that one or set DATA_DIR`)
      }
      await Fs.rm(path, { force: true })
    }
    throw new Error("its lock changes hands too fast")
  }
  return Effect.acquireRelease(attempt(`can't use ${dataDir}`, take), () =>
    Effect.promise(() => Fs.rm(path, { force: true }))
  )
}

const readLock = async (path: string): Promise<{ readonly pid: number; readonly started: string } | undefined> => {
  try {
    const { pid, started } = JSON.parse(await Fs.readFile(path, "utf8"))
    return { pid: Number(pid), started: String(started) }
  } catch {
    // a crash has cut the file short, or it is gone meanwhile
    return undefined
  }
}
