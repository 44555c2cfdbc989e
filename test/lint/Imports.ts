/**
 * Who imports whom among our modules, imports of types included: the linter's own rule against circles passes over those,
 * and a circle of types ties two modules together just as well.
 */
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { parseSync } from "oxc-parser"

/** The modules that each module imports; paths are relative to the root. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>

/** What a source imports or exports from elsewhere, by whatever syntax, as it is written there. */
export const specifiers = (file: string, source: string): ReadonlyArray<string> => {
  const { errors, module, program } = parseSync(file, source)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const found = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) => entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []))
  ]
  // `import("…").Type` is a type, and `import("…")` may be of anything
  JSON.stringify(program, (_key, node: unknown) => {
    if (typeof node === "object" && node !== null && "type" in node && "source" in node) {
      const { source } = node
      if (node.type === "TSImportType" || node.type === "ImportExpression") {
        if (typeof source === "object" && source !== null && "value" in source) found.push(String(source.value))
      }
    }
    return typeof node === "bigint" ? String(node) : node
  })
  return found
}

/** Where a specifier leads to, if that is a module of ours. */
const target = (root: string, file: string, specifier: string): string | undefined => {
  if (specifier.startsWith(".")) return relative(root, resolve(root, dirname(file), specifier))
  const [, folder, path] = /^@invoice\/(core|testing|adapters|runtime-node)(?:\/(.+))?$/u.exec(specifier) ?? []
  if (folder === undefined) return undefined
  const { exports } = JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8"))
  const subpath = path === undefined ? "." : `./${path}`
  const { source = exports["./*"]?.source } = exports[subpath] ?? {}
  return source === undefined ? undefined : join("packages", folder, source.replace("*", path ?? ""))
}

/** The modules of the packages. */
export const read = (root: string, pattern = "packages/*/src/**/*.ts"): Graph =>
  new Map(
    globSync(pattern, { cwd: root })
      .filter((file) => !file.includes("/gen/"))
      .map((file) => {
        const targets = specifiers(file, readFileSync(join(root, file), "utf8")).map((one) => target(root, file, one))
        return [
          file,
          new Set(targets.filter((one) => one !== undefined && existsSync(join(root, one))) as Array<string>)
        ]
      })
  )

/** Modules that reach one another, by Tarjan's algorithm; each circle once, its modules in order of name. */
export const circles = (graph: Graph): ReadonlyArray<ReadonlyArray<string>> => {
  const found: Array<ReadonlyArray<string>> = []
  const stack: Array<string> = []
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const visit = (module: string): number => {
    const own = index.size
    index.set(module, own)
    low.set(module, own)
    stack.push(module)
    for (const next of graph.get(module) ?? []) {
      const reached = index.has(next) ? (stack.includes(next) ? index.get(next) : undefined) : visit(next)
      low.set(module, Math.min(low.get(module) ?? own, reached ?? own))
    }
    const lowest = low.get(module) ?? own
    if (lowest === own) {
      const circle = stack.splice(stack.indexOf(module))
      if (circle.length > 1 || graph.get(module)?.has(module) === true) found.push(circle.sort())
    }
    return lowest
  }
  for (const module of graph.keys()) if (!index.has(module)) visit(module)
  return found
}

const core = "packages/core/src"

/** What the folders of the core may import of one another. */
const layers: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: ["domain"],
  ports: ["domain", "ports"],
  usecases: ["domain", "ports", "usecases"]
}

const layerOf = (module: string): string | undefined => {
  const [first = ""] = relative(core, module).split("/")
  return Object.hasOwn(layers, first) ? first : undefined
}

/** Imports within the core that go outwards. */
export const outward = (graph: Graph): ReadonlyArray<string> =>
  [...graph].flatMap(([module, targets]) => {
    const allowed = layers[layerOf(module) ?? ""]
    return allowed === undefined || !module.startsWith(core)
      ? []
      : [...targets].filter((one) => !allowed.includes(layerOf(one) ?? "")).map((one) => `${module} imports ${one}`)
  })
