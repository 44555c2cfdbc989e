/**
 * Bundles `@invoice/core/validate` for browsers, as it is published, and prints its size. Fails above the limit, and
 * when the bundle needs more than ECMAScript and `TextDecoder`. Run `npm run build` before.
 */
import { fileURLToPath } from "node:url"
import { runInNewContext } from "node:vm"
import { gzipSync } from "node:zlib"
import { build } from "rolldown"

/** Most bytes after gzip. */
const limit = 40_000

const root = fileURLToPath(new URL("..", import.meta.url))
/** A program that uses nothing else. Its path is in the root, so that its imports are resolved from there. */
const entry = `${root}bundle-size.js`
const program = `import { validate } from "@invoice/core/validate"\nglobalThis.validate = validate`

const { output } = await build({
  input: entry,
  write: false,
  platform: "browser",
  plugins: [
    {
      name: "entry",
      resolveId: (id) => (id === entry ? id : null),
      load: (id) => (id === entry ? program : null)
    }
  ],
  output: { format: "iife", minify: true }
})

const [chunk] = output
const gzip = gzipSync(chunk.code, { level: 9 }).length
const modules = Object.entries(chunk.modules)
  .map(([file, { renderedLength }]) => ({ file, bytes: renderedLength }))
  .filter(({ bytes }) => bytes > 0)
  .sort((a, b) => b.bytes - a.bytes)
const share = modules.filter(({ file }) => !file.includes("node_modules")).reduce((sum, { bytes }) => sum + bytes, 0)
const all = modules.reduce((sum, { bytes }) => sum + bytes, 0)

console.log(
  `@invoice/core/validate for browsers: ${chunk.code.length} bytes, ${gzip} after gzip (limit ${limit}); ` +
    `${Math.round((100 * share) / all)} % of it is ours, from ${modules.length} modules`
)
for (const { bytes, file } of modules.slice(0, 10)) {
  console.log(`  ${String(bytes).padStart(6)}  ${file.replace(/^.*node_modules\//u, "").replace(root, "")}`)
}

const answer: unknown = runInNewContext(`${chunk.code}\nJSON.stringify(validate("{}"))`, { TextDecoder })
if (typeof answer !== "string" || !answer.startsWith('{"status":"Invalid","violations":[{"code":"INV-MISSING"')) {
  console.error(`the bundle does not run: ${answer}`)
  process.exitCode = 1
}
if (gzip > limit) {
  console.error(`${gzip - limit} bytes above the limit`)
  process.exitCode = 1
}
