/** `npm run pack [-- DIRECTORY]`: the tarballs of a release, in `tarballs/` unless another directory is given. */
import { resolve } from "node:path"
import { packAll } from "./packages/Pack.ts"

for (const { tarball } of await packAll(resolve(process.argv[2] ?? "tarballs"))) {
  console.log(tarball)
}
