/**
 * A program that runs many schedules imports this module first. It turns off two things that cost time and that nothing
 * here uses: the asynchronous context, which Effect captures each time that a fiber waits, and the stacks of errors.
 */
const { getBuiltinModule } = process

Object.assign(process, {
  getBuiltinModule: (name: string) => (name === "node:async_hooks" ? undefined : getBuiltinModule(name))
})

Error.stackTraceLimit = 0
