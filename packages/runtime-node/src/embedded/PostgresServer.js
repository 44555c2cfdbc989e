/** The server as a child process. */
import { spawn } from "node:child_process";
import * as Fs from "node:fs/promises";
import { createServer } from "node:net";
import * as Path from "node:path";
import { Effect } from "effect";
import { attempt, fail } from "./EmbeddedPostgresError.js";
import { isAlive } from "./ProcessIdentity.js";
export const freePort = attempt("no free port for Postgres", () => new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
}));
const ended = async (pid, millis) => {
    for (let waited = 0; waited < millis && isAlive(pid); waited += 50) {
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return !isAlive(pid);
};
/** Stops the server that a killed process left running on this cluster. */
export const stopOrphan = (cluster) => attempt("can't stop the Postgres that an earlier run left behind", async () => {
    const file = await Fs.readFile(Path.join(cluster, "postmaster.pid"), "utf8").catch(() => "");
    const pid = Number(file.split("\n")[0]);
    if (!(pid > 0) || !isAlive(pid)) {
        return;
    }
    // the process id may belong to another program by now
    const command = await Fs.readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
    if (command !== undefined && !command.split("\0").includes(cluster)) {
        return;
    }
    process.kill(pid, "SIGINT");
    if (!(await ended(pid, 10_000))) {
        process.kill(pid, "SIGQUIT");
        await ended(pid, 5_000);
    }
});
const start = ({ postgres }, cluster, port, as) => Effect.callback((resume) => {
    const flags = {
        listen_addresses: "127.0.0.1",
        unix_socket_directories: "",
        max_connections: "100",
        max_wal_size: "2GB",
        timezone: "UTC"
    };
    const child = spawn(postgres, [
        "-D",
        cluster,
        "-p",
        String(port),
        ...Object.entries(flags).flatMap(([name, value]) => ["-c", `${name}=${value}`])
    ], 
    // a process group of its own: Ctrl-C in a terminal reaches only us, and we stop Postgres last
    { ...as, cwd: cluster, detached: true, stdio: ["ignore", "ignore", "pipe"], env: { LC_ALL: "C" } });
    const server = { child, stopping: false };
    let said = "";
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (text) => {
        said = (said + text).slice(-2_000);
        if (text.includes("ready to accept connections")) {
            resume(Effect.succeed(server));
        }
    });
    child.once("error", (error) => resume(fail(`can't start Postgres: ${error.message}`)));
    child.once("exit", (code, signal) => {
        resume(fail(`Postgres ended while it started (${signal ?? code}): ${said.trim()}`));
        if (!server.stopping) {
            // readiness and requests show that Postgres is gone; only this line shows why
            process.stderr.write(`embedded Postgres ended unexpectedly (${signal ?? code}): ${said.trim()}\n`);
        }
    });
});
const stop = (server) => Effect.promise(async () => {
    server.stopping = true;
    const { child } = server;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
        return;
    }
    const exit = new Promise((resolve) => child.once("exit", () => resolve()));
    // fast shutdown: rolls back what is open and writes a checkpoint
    child.kill("SIGINT");
    const late = setTimeout(() => child.kill("SIGQUIT"), 5_000);
    await exit;
    clearTimeout(late);
});
/** Runs while the scope lasts. */
export const run = (...args) => Effect.acquireRelease(start(...args), stop);
//# sourceMappingURL=PostgresServer.js.map