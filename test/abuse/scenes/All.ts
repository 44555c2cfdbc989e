import type { Scene } from "../Scene.ts"
import * as Amplified from "./Amplified.ts"
import * as Bodies from "./Bodies.ts"
import * as Floods from "./Floods.ts"
import * as Malformed from "./Malformed.ts"
import * as Outages from "./Outages.ts"
import * as Stops from "./Stops.ts"
import * as Tokens from "./Tokens.ts"
import * as Unread from "./Unread.ts"
import * as Watches from "./Watches.ts"

const groups = [Bodies, Unread, Watches, Amplified, Malformed, Tokens, Floods, Outages, Stops]

/** Every scene, in the order of the table of docs/guides/abuse.md. */
export const scenes: ReadonlyArray<Scene> = groups.flatMap(({ scenes }) => scenes)
