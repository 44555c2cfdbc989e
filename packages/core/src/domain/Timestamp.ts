/**
 * An instant as text: RFC 3339 in UTC with `Z`, as many fraction digits as it needs (up to nanoseconds), years 0001 to
 * 9999. Text, not `Date`, so that what a client sends comes back as it was given.
 */
import type { Brand } from "effect"

export type Timestamp = string & Brand.Brand<"Timestamp">

const pattern =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/u

const maxLength = "9999-12-31T23:59:59.999999999+23:59".length

/** Any offset becomes UTC. Undefined for what isn't RFC 3339 or doesn't exist: 30 February, hour 24, second 60. */
export const parse = (text: string): Timestamp | undefined => {
  const match = text.length > maxLength ? null : pattern.exec(text)
  if (match === null) {
    return undefined
  }
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHour, offsetMinute] = match
  const local = new Date(0)
  local.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  local.setUTCHours(Number(hour), Number(minute), Number(second))
  if (!local.toISOString().startsWith(`${year}-${month}-${day}T${hour}:${minute}:${second}`)) {
    return undefined
  }
  const offset = (Number(offsetHour ?? 0) * 60 + Number(offsetMinute ?? 0)) * (sign === "-" ? -1 : 1)
  return render(local.getTime() - offset * 60_000, fraction)
}

/** From milliseconds since 1970-01-01T00:00:00Z; throws a `RangeError` outside of the years 0001 to 9999. */
export const fromMillis = (millis: number): Timestamp => {
  const whole = Math.floor(millis / 1000) * 1000
  const timestamp = render(whole, String(Math.floor(millis - whole)).padStart(3, "0"))
  if (timestamp === undefined) {
    throw new RangeError(`${millis} ms is not within the years 0001 to 9999`)
  }
  return timestamp
}

const render = (seconds: number, fraction: string): Timestamp | undefined => {
  const iso = new Date(seconds).toISOString()
  const digits = fraction.replace(/0+$/u, "")
  return iso.length !== 24 || iso.startsWith("0000")
    ? undefined
    : (`${iso.slice(0, 19)}${digits === "" ? "" : `.${digits}`}Z` as Timestamp)
}

/** Fixed width, always nine fraction digits: the order of these texts is the order of time. What adapters store. */
export const toSortable = (timestamp: Timestamp): string => {
  const fraction = timestamp.slice(20, -1)
  return `${timestamp.slice(0, 19)}.${fraction.padEnd(9, "0")}Z`
}

/** Back from `toSortable`. */
export const fromSortable = (text: string): Timestamp =>
  (text.endsWith(".000000000Z") ? `${text.slice(0, 19)}Z` : `${text.slice(0, -1).replace(/0+$/u, "")}Z`) as Timestamp

export const compare = (self: Timestamp, that: Timestamp): -1 | 0 | 1 => {
  const [a, b] = [toSortable(self), toSortable(that)]
  return a < b ? -1 : a > b ? 1 : 0
}
