/**
 * Bundles what browsers use, as it is published, and prints the sizes. Fails above a limit, and when a bundle needs more
 * than ECMAScript and the globals that are named here. Run `npm run build` before.
 */
import { fileURLToPath } from "node:url"
import { runInNewContext } from "node:vm"
import { gzipSync } from "node:zlib"
import { build } from "rolldown"

interface Bundle {
  readonly module: string
  /** The one export that is used. */
  readonly name: string
  /** Most bytes after gzip. */
  readonly limit: number
  /** What a browser has beside ECMAScript and the bundle needs to be tried. */
  readonly globals: Readonly<Record<string, unknown>>
  /** An expression, a string or a promise of one, which shows that the bundle runs. */
  readonly trial: string
  readonly answers: string
}

const bundles: ReadonlyArray<Bundle> = [
  {
    module: "@invoice/core/validate",
    name: "validate",
    limit: 40_000,
    globals: { TextDecoder },
    trial: `JSON.stringify(validate("{}"))`,
    answers: '{"status":"Invalid","violations":[{"code":"INV-MISSING"'
  },
  {
    module: "@invoice/client",
    name: "createClient",
    limit: 4_000,
    globals: { Headers, fetch: async () => Response.json({ id: "1", status: "Approved" }) },
    trial: `createClient({ baseUrl: "http://localhost" }).get("1").then(JSON.stringify)`,
    answers: '{"id":"1","status":"Approved"'
  }
]

const root = fileURLToPath(new URL("..", import.meta.url))

/** A program that uses nothing else. */
const bundle = async ({ module, name }: Bundle) => {
  // its path is in the root, so that its imports are resolved from there
  const entry = `${root}bundle-size.js`
  const program = `import { ${name} } from "${module}"\nglobalThis.${name} = ${name}`
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
  return output[0]
}

for (const each of bundles) {
  const { code, modules } = await bundle(each)
  const gzip = gzipSync(code, { level: 9 }).length
  const parts = Object.entries(modules)
    .map(([file, { renderedLength }]) => ({ file, bytes: renderedLength }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
  const ours = parts.filter(({ file }) => !file.includes("node_modules")).reduce((sum, { bytes }) => sum + bytes, 0)
  const all = parts.reduce((sum, { bytes }) => sum + bytes, 0)
  console.log(
    `${each.module} for browsers: ${code.length} bytes, ${gzip} after gzip (limit ${each.limit}); ` +
      `${Math.round((100 * ours) / all)} % of it is ours, from ${parts.length} modules`
  )
  for (const { bytes, file } of parts.slice(0, 10)) {
    console.log(`  ${String(bytes).padStart(6)}  ${file.replace(/^.*node_modules\//u, "").replace(root, "")}`)
  }
  const answer: unknown = await runInNewContext(`${code}\n${each.trial}`, { ...each.globals })
  if (typeof answer !== "string" || !answer.startsWith(each.answers)) {
    console.error(`the bundle of ${each.module} does not run: ${answer}`)
    process.exitCode = 1
  }
  if (gzip > each.limit) {
    console.error(`${each.module}: ${gzip - each.limit} bytes above the limit`)
    process.exitCode = 1
  }
}
