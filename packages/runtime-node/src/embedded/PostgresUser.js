/** Postgres refuses to run as root. When root starts a program, its Postgres runs as the system's user postgres. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { attempt } from "./EmbeddedPostgresError.js";
const run = promisify(execFile);
const ids = async () => {
    const [uid, gid] = await Promise.all(["-u", "-g"].map(async (flag) => Number((await run("id", [flag, "postgres"])).stdout)));
    return { uid: uid ?? 0, gid: gid ?? 0 };
};
/** The user to run Postgres as; `undefined` when this process is not root, so that its own user can run it. */
export const find = attempt("Postgres doesn't run as root, and there is no user postgres to run it as", async () => {
    if (process.getuid?.() !== 0) {
        return undefined;
    }
    try {
        return await ids();
    }
    catch {
        await run("useradd", ["--system", "--user-group", "postgres"]);
        return ids();
    }
});
/**
 * Runs a program as that user, in `/`. File modes are not enough to decide it: access lists and mount options count
 * too.
 */
const succeeds = (user, program, ...args) => run(program, args, { ...user, cwd: "/" }).then(() => true, () => false);
/** Whether the user can enter a directory that exists. */
export const canEnter = (user, directory) => succeeds(user, "test", "-x", directory);
/** Whether the user can run that Postgres, its libraries included. */
export const canRun = (user, postgres) => succeeds(user, postgres, "--version");
//# sourceMappingURL=PostgresUser.js.map