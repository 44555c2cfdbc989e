/** Parts of the product within this suite, whose log lines would stand in the middle of the table. */
import { Layer, Logger, ManagedRuntime } from "effect"

export const runtimeOf = <A, E>(layer: Layer.Layer<A, E>): ManagedRuntime.ManagedRuntime<A, E> =>
  ManagedRuntime.make(layer.pipe(Layer.provideMerge(Logger.layer([]))))
