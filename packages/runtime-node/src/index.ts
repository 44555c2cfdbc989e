/** The programs as effects, for whoever composes their own. */
export * as Config from "./Config.ts"
export * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
export * as Observability from "./Observability.ts"
export * as AllInOne from "./programs/AllInOne.ts"
export * as Api from "./programs/Api.ts"
export * as Relay from "./programs/Relay.ts"
export * as Validator from "./programs/Validator.ts"
