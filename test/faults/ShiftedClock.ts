/** A preload that shifts the clock of this process by FAULTS_CLOCK_SHIFT milliseconds. */
const shift = Number(process.env["FAULTS_CLOCK_SHIFT"])
const RealDate = Date
const now = (): number => RealDate.now() + shift

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver))
})
