/**
 * The position that a relay's session holds: a position of `SnapshotWindow`, and the start of the server from which it
 * was read, `<position>@<server start>`. After a restart or a failover it is refused, so that a position of one run of
 * a server is never used on another.
 */
import * as SnapshotWindow from "./SnapshotWindow.ts"

export const format = (position: string, server: string): string => `${position}@${server}`

/** `server` is null in a position that was written before positions named the server's start. */
export const parse = (text: string): { readonly position: SnapshotWindow.Position; readonly server: string | null } => {
  const [position = "", server = null] = text.split("@")
  return { position: SnapshotWindow.parse(position), server }
}
