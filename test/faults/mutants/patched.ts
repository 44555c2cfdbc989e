/** A preload that runs the product with one part replaced; FAULTS_PATCH names the patch. */
import { registerHooks } from "node:module"
import { isName, patched, patches, urlOf } from "./Patch.ts"

const name = process.env["FAULTS_PATCH"] ?? ""
if (!isName(name)) throw new Error(`there is no patch ${name}`)
const url = urlOf(patches[name])
// checked before the program starts, so that a patch that no longer fits ends the process
const source = patched(patches[name])

registerHooks({
  load: (at, context, next) =>
    at === url ? { format: "module-typescript", source, shortCircuit: true } : next(at, context)
})
