/** Whether a process that has written its id to a file is still running. */
import * as Fs from "node:fs/promises";
export const isAlive = (pid) => {
    try {
        process.kill(pid, 0);
        return true;
    }
    catch (error) {
        return error.code === "EPERM";
    }
};
/**
 * When a process started: field 22 of proc(5)'s stat, empty on a system without /proc. It distinguishes a process from
 * a later one with the same id.
 */
export const startTime = async (pid) => {
    const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
};
//# sourceMappingURL=ProcessIdentity.js.map