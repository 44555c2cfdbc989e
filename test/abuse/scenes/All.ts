import type { Scene } from "../Scene.ts"
import * as Bodies from "./Bodies.ts"
import * as Floods from "./Floods.ts"
import * as Unread from "./Unread.ts"
import * as Watches from "./Watches.ts"

/** Every scene, in the order of the table of docs/guides/abuse.md. */
export const scenes: ReadonlyArray<Scene> = [Bodies, Unread, Watches, Floods].flatMap(({ scenes }) => scenes)
