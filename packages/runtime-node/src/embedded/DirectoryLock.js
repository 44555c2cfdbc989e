/** A data directory belongs to one process at a time. */
import * as Fs from "node:fs/promises";
import * as Path from "node:path";
import { Effect } from "effect";
import { attempt } from "./EmbeddedPostgresError.js";
import { isAlive, startTime } from "./ProcessIdentity.js";
const lockName = "invoice.lock";
/** Held while this process uses the directory. A lock that a killed process left behind is taken over. */
export const hold = (dataDir) => {
    const path = Path.join(dataDir, lockName);
    const take = async () => {
        const mine = JSON.stringify({ pid: process.pid, started: await startTime(process.pid) });
        for (let tries = 0; tries < 3; tries++) {
            try {
                await Fs.writeFile(path, mine, { flag: "wx" });
                return;
            }
            catch (error) {
                if (error.code !== "EEXIST") {
                    throw error;
                }
            }
            const holder = await readLock(path);
            if (holder !== undefined && isAlive(holder.pid) && (await startTime(holder.pid)) === holder.started) {
                throw new Error(`another invoice process (pid ${holder.pid}) uses it; stop that one or set DATA_DIR`);
            }
            await Fs.rm(path, { force: true });
        }
        throw new Error("its lock changes hands too fast");
    };
    return Effect.acquireRelease(attempt(`can't use ${dataDir}`, take), () => Effect.promise(() => Fs.rm(path, { force: true })));
};
const readLock = async (path) => {
    try {
        const { pid, started } = JSON.parse(await Fs.readFile(path, "utf8"));
        return { pid: Number(pid), started: String(started) };
    }
    catch {
        // a crash has cut the file short, or it is gone meanwhile
        return undefined;
    }
};
//# sourceMappingURL=DirectoryLock.js.map