/** How many may be in hand at once. One admission may be shared, such as by the watches of every protocol. */
import { LimitMetrics } from "@invoice/core"

export interface Admission {
  /** Counts one in; false when there are too many. */
  readonly enter: () => boolean
  /** Counts one out that was let in. */
  readonly leave: () => void
  /** How many are in. */
  readonly count: () => number
}

/**
 * @param maximum how many are let in at once
 * @param limit what to count a refusal as
 * @param makeRoom called when there are too many: true when it ends one of them soon, so that another one may enter
 */
export const make = (maximum: number, limit: LimitMetrics.Limit, makeRoom: () => boolean = () => false): Admission => {
  let inHand = 0
  return {
    enter: () => {
      if (inHand >= maximum && !makeRoom()) {
        LimitMetrics.reached(limit)
        return false
      }
      inHand++
      return true
    },
    leave: () => {
      inHand--
    },
    count: () => inHand
  }
}
