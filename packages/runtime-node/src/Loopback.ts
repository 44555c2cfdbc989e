/** Names and addresses that lead to this machine only (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3; RFC 4291, 2.5.3). */
const loopback = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|localhost)$/u

/** @param name in lower case, without a port, an IPv6 address without brackets */
export const isLoopback = (name: string): boolean => loopback.test(name)
