/** Conditional requests (RFC 9110, section 13): an invoice's entity tag is its version. */

/** The entity tag of a version. */
export const etag = (version: number): string => `"${version}"`

/** Whether a list of entity tags, or `*`, names the current one. */
const names = (list: string, current: string, weak: boolean): boolean =>
  list.trim() === "*" ||
  list.split(",").some((tag) => {
    const trimmed = tag.trim()
    return (weak && trimmed.startsWith("W/") ? trimmed.slice(2) : trimmed) === current
  })

export interface Conditions {
  readonly "if-match"?: string | undefined
  readonly "if-none-match"?: string | undefined
}

/** What the conditions of a read say: 412 when `If-Match` names no current tag, 304 when `If-None-Match` names one. */
export const evaluate = (headers: Conditions, version: number): 200 | 304 | 412 => {
  const current = etag(version)
  const match = headers["if-match"]
  if (match !== undefined && !names(match, current, false)) return 412
  const noneMatch = headers["if-none-match"]
  return noneMatch !== undefined && names(noneMatch, current, true) ? 304 : 200
}

/** Whether the client wants an answer without a body (RFC 7240, section 4.2). */
export const wantsMinimal = (prefer: string | undefined): boolean =>
  prefer !== undefined && /(^|,)\s*return\s*=\s*"?minimal"?\s*(;|,|$)/iu.test(prefer)
