/**
 * How many invoices one statement reads: as many as stay within a few megabytes, going by the sizes of those read before.
 * An invoice has 300 bytes or a megabyte; 256 of the large ones at once would fill the memory and stop the process.
 */

/** Most characters that the invoices of a statement should have together. */
const targetLength = 2_097_152

/** Most invoices in a statement; the first one reads fewer, since their sizes aren't known. */
const most = 256
const first = 8

export interface BatchSize {
  readonly current: () => number
  /** Takes note of what a statement has read. At most it doubles the size. */
  readonly learn: (invoices: number, length: number) => void
}

export const make = (): BatchSize => {
  let size = first
  return {
    current: () => size,
    learn: (invoices, length) => {
      if (invoices === 0) return
      const fitting = Math.floor(targetLength / Math.max(1, length / invoices))
      size = Math.max(1, Math.min(most, fitting, size * 2))
    }
  }
}
