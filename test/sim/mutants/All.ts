import { consumerMutants } from "./ConsumerMutants.ts"
import type { Mutant } from "./Mutant.ts"
import { relayMutants } from "./RelayMutants.ts"
import { watchMutants } from "./WatchMutants.ts"

export const mutants: ReadonlyArray<Mutant> = [...relayMutants, ...watchMutants, ...consumerMutants]

export const mutantNamed = (name: string): Mutant => {
  const mutant = mutants.find((one) => one.name === name)
  if (mutant === undefined) {
    throw new Error(`there is no mutant ${name}; there are ${mutants.map((one) => one.name).join(", ")}`)
  }
  return mutant
}
