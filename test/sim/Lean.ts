/**
 * To be imported before anything else of a program that runs many schedules: nobody follows an asynchronous context here,
 * and nobody reads a stack. Effect would capture the first each time that a fiber waits, and every error the second.
 */
const { getBuiltinModule } = process

Object.assign(process, {
  getBuiltinModule: (name: string) => (name === "node:async_hooks" ? undefined : getBuiltinModule(name))
})

Error.stackTraceLimit = 0
