/** `Outbox` in memory, one lane. A position is the number of events before it. */
import { Outbox } from "@invoice/core"
import { Effect, Layer } from "effect"
import * as OutboxEvents from "./OutboxEvents.ts"
import * as OutboxLane from "./OutboxLane.ts"
import * as OutboxLeases from "./OutboxLeases.ts"
import * as OutboxParking from "./OutboxParking.ts"
import { State } from "./State.ts"

/** On a state that is provided, to share it with the store. */
export const layer: Layer.Layer<Outbox, never, State> = Layer.effect(
  Outbox,
  Effect.map(State, ({ events }) => {
    const only = OutboxLane.make()
    return Outbox.of({
      ...OutboxLeases.make(only),
      ...OutboxEvents.make(only, events),
      ...OutboxParking.make(only),
      status: OutboxEvents.status(only, events)
    })
  })
)
