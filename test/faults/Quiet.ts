/** Runs parts of the product in this process without their log lines, which would interrupt the printed table. */
import { Layer, Logger, ManagedRuntime } from "effect"

export const runtimeOf = <A, E>(layer: Layer.Layer<A, E>): ManagedRuntime.ManagedRuntime<A, E> =>
  ManagedRuntime.make(layer.pipe(Layer.provideMerge(Logger.layer([]))))
