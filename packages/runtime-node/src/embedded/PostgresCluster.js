/** The database cluster in the data directory, and who may log in to it. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as Fs from "node:fs/promises";
import * as Path from "node:path";
import { promisify } from "node:util";
import * as DataDirectory from "./DataDirectory.js";
import { attempt } from "./EmbeddedPostgresError.js";
const run = promisify(execFile);
/** The role that owns everything in the cluster. */
export const role = "invoice";
/** Creates the cluster under another name and then renames it, so that a half-made cluster is never used. */
export const initialise = ({ initdb }, cluster, passwordFile, as) => attempt("can't create the database cluster", async () => {
    if (await DataDirectory.exists(cluster)) {
        return;
    }
    const making = `${cluster}.making`;
    await Fs.rm(making, { recursive: true, force: true });
    await Fs.mkdir(making, { mode: 0o700 });
    await Fs.writeFile(passwordFile, randomBytes(24).toString("base64url"), { mode: 0o600 });
    if (as !== undefined) {
        await Fs.chown(making, as.uid, as.gid);
        await Fs.chown(passwordFile, as.uid, as.gid);
    }
    await run(initdb, [
        `--pgdata=${making}`,
        `--username=${role}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C"
    ], { ...as, cwd: Path.dirname(cluster), env: { LC_ALL: "C" } }).catch((error) => {
        throw new Error(String(error.stderr || error.message).trim());
    });
    await Fs.rename(making, cluster);
});
//# sourceMappingURL=PostgresCluster.js.map