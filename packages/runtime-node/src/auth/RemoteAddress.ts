/** What stands for a client that nobody has authenticated: its address. */
import { isIPv6 } from "node:net"

const groups = (part: string): ReadonlyArray<string> => (part === "" ? [] : part.split(":"))

/**
 * An IPv4 address as it is. Of an IPv6 address the first 64 bits, since a client has all addresses of such a network
 * (RFC 6177). An IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2) counts as IPv4.
 */
export const nameOf = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/iu.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [bare = ""] = address.split("%")
  if (!isIPv6(bare)) return address
  const [head = "", tail] = bare.split("::")
  const before = groups(head)
  const after = groups(tail ?? "")
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  return `${[...before, ...Array<string>(Math.max(0, zeros)).fill("0"), ...after].slice(0, 4).join(":")}::/64`
}
