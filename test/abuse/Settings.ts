/** The limits that scenes shorten, so that the short form needn't wait for the deadlines of production. */

export const bodySeconds = (long: boolean): number => (long ? 30 : 2)
export const stallSeconds = (long: boolean): number => (long ? 15 : 2)

/** The defaults in the long form. */
export const shortDeadlines = (long: boolean): Readonly<Record<string, string>> =>
  long
    ? {}
    : {
        BODY_TIMEOUT_MS: `${bodySeconds(false) * 1_000}`,
        WRITE_STALL_TIMEOUT_MS: `${stallSeconds(false) * 1_000}`
      }
