import type { World } from "../World.ts"
import type { Alterations } from "./Alterations.ts"
import { consumerWorld } from "./ConsumerWorld.ts"
import { relayWorld } from "./RelayWorld.ts"
import { watchWorld } from "./WatchWorld.ts"

export const worlds: ReadonlyArray<World<Alterations>> = [relayWorld, watchWorld, consumerWorld]

export const worldNamed = (name: string): World<Alterations> => {
  const world = worlds.find((one) => one.name === name)
  if (world === undefined) {
    throw new Error(`there is no world ${name}; there are ${worlds.map((one) => one.name).join(", ")}`)
  }
  return world
}
