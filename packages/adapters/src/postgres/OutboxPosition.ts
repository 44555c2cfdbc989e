/**
 * The position that a session holds: a position of `SnapshotWindow`, and the run of the server that it was read in,
 * `<position>@<server start>`. After a restart or a failover it is refused, so that what was read from one server is never
 * told to another.
 */
import * as SnapshotWindow from "./SnapshotWindow.ts"

export const format = (position: string, server: string): string => `${position}@${server}`

/** The server's run is null in a position that was written before positions named it. */
export const parse = (text: string): { readonly position: SnapshotWindow.Position; readonly server: string | null } => {
  const [position = "", server = null] = text.split("@")
  return { position: SnapshotWindow.parse(position), server }
}
