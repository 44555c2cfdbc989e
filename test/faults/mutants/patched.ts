/** A preload: this process runs the product with one part replaced, which FAULTS_PATCH names. */
import { registerHooks } from "node:module"
import { isName, patched, patches, urlOf } from "./Patch.ts"

const name = process.env["FAULTS_PATCH"] ?? ""
if (!isName(name)) throw new Error(`there is no patch ${name}`)
const url = urlOf(patches[name])
// before the program is ready, so that a patch that does not fit ends it
const source = patched(patches[name])

registerHooks({
  load: (at, context, next) =>
    at === url ? { format: "module-typescript", source, shortCircuit: true } : next(at, context)
})
