/** Where the embedded Postgres keeps its data: its cluster, the cluster's password and the lock. */
import { createHash } from "node:crypto";
import * as Fs from "node:fs/promises";
import * as Path from "node:path";
import { Effect } from "effect";
import { attempt, fail } from "./EmbeddedPostgresError.js";
import { canEnter } from "./PostgresUser.js";
/**
 * A directory of the system for the data of one project. Its name has the project's name and a hash of the data's path.
 */
export const ofSystem = (dataDir) => {
    const path = Path.resolve(dataDir);
    const name = Path.basename(Path.dirname(path)).replace(/[^\w.-]/gu, "_");
    return `/var/lib/invoice/${name}-${createHash("sha256").update(path).digest("hex").slice(0, 8)}`;
};
/** The database cluster in a data directory. */
export const cluster = (dataDir) => Path.join(dataDir, "postgres");
export const exists = (path) => Fs.access(path).then(() => true, () => false);
/** The path itself when it exists, else the nearest directory above it that does. */
const nearest = async (path) => ((await exists(path)) ? path : nearest(Path.dirname(path)));
const canReach = (user, path) => nearest(path).then((directory) => canEnter(user, directory));
const whom = "user postgres, whom Postgres runs as when root starts it, can't enter";
const choose = (options, user) => Effect.gen(function* () {
    const wanted = Path.resolve(options.dataDir);
    const reached = yield* Effect.promise(() => canReach(user, wanted));
    const kept = yield* Effect.promise(() => exists(cluster(wanted)));
    const { fallback } = options;
    if (fallback === undefined || kept) {
        return reached
            ? wanted
            : yield* fail(kept
                ? `${whom} ${wanted}, which holds data: open the way to it with chmod, or set DATA_DIR to begin elsewhere`
                : `${whom} ${wanted}: set DATA_DIR to a directory that this user can enter`);
    }
    return reached && !(yield* Effect.promise(() => exists(cluster(fallback)))) ? wanted : fallback;
});
/** Answers the data directory as an absolute path, and makes it. */
export const make = (options, user) => Effect.gen(function* () {
    const dataDir = user === undefined ? Path.resolve(options.dataDir) : yield* choose(options, user);
    yield* attempt(`can't make ${dataDir}`, async () => {
        const first = await Fs.mkdir(dataDir, { recursive: true });
        // user postgres must be able to enter each new directory, whatever root's umask is
        for (let made = dataDir; user !== undefined && first !== undefined; made = Path.dirname(made)) {
            await Fs.chmod(made, 0o755);
            if (made === first) {
                break;
            }
        }
    });
    return dataDir;
});
//# sourceMappingURL=DataDirectory.js.map