/** A client of REST v1: promises over `fetch`, without dependencies. */
export * from "./Client.ts"
export type * from "./Model.ts"
export * as Problems from "./Problems.ts"
