/**
 * Which scope each path needs: the one table for REST, Connect, gRPC and gRPC-Web, on the api and on the storage program.
 * A path is compared as it was sent, undecoded. What the table doesn't have is never handled, so a new route must be
 * added here before a token opens it.
 */
import { Server } from "@invoice/adapters/connect"
import * as AccessScope from "./AccessScope.ts"

/** What a request needs. `internal` is enough for all of it. */
export interface Access {
  /** Without a token. */
  readonly open: boolean
  /** One of these is enough. None: any valid token. */
  readonly scopes: AccessScope.ScopeSet
  /** Whether the path is a method of an RPC service. */
  readonly rpc: boolean
}

/** `NotFound`, or the methods that the path has. */
export type Unlisted = "NotFound" | ReadonlyArray<string>

const internalToo = (...names: ReadonlyArray<AccessScope.AccessScope>): AccessScope.ScopeSet =>
  AccessScope.setOf(...names, "internal")

const rest = (...names: ReadonlyArray<AccessScope.AccessScope>): Access => ({
  open: false,
  scopes: internalToo(...names),
  rpc: false
})

const read = rest("invoices:read")
const write = rest("invoices:write")
const readOrWrite = rest("invoices:read", "invoices:write")
const open: Access = { open: true, scopes: AccessScope.none, rpc: false }

const page = { GET: open, HEAD: open }

const restPaths: Readonly<Record<string, Readonly<Record<string, Access>>>> = {
  "/api/invoice/create": { POST: write },
  "/api/invoice/get": { POST: read },
  "/v1/invoices": { GET: read, HEAD: read, POST: write },
  "/v1/invoices:validate": { POST: readOrWrite },
  "/v1/invoices:import": { POST: write },
  "/v1/events": { GET: read, HEAD: read },
  // load balancers and the container's health check have no token; the description is as public as the source
  "/healthz": page,
  "/readyz": page,
  "/openapi.json": page,
  "/docs": page
}

/** What the types of problems lead to: a page for each kind. */
const problemPath = /^\/problems\/[a-z-]+$/u

/** `/v1/invoices/{id}` and `/v1/invoices/{id}/history`. */
const invoicePath = /^\/v1\/invoices\/[^/]+(\/history)?$/u
const invoiceMethods: Readonly<Record<string, Access>> = { GET: read, HEAD: read }

const rpc = (scopes: AccessScope.ScopeSet): Access => ({ open: false, scopes, rpc: true })

const rpcRead = rpc(internalToo("invoices:read"))
const rpcWrite = rpc(internalToo("invoices:write"))
const rpcReadOrWrite = rpc(internalToo("invoices:read", "invoices:write"))
const rpcAdmin = rpc(internalToo("outbox:admin"))
const rpcAnyToken = rpc(AccessScope.none)

/** Methods by service. A method that is missing here needs `internal`. */
const rpcMethods: Readonly<Record<string, Readonly<Record<string, Access>>>> = {
  "invoice.v1.InvoiceService": {
    Create: rpcWrite,
    Import: rpcWrite,
    Get: rpcRead,
    List: rpcRead,
    History: rpcRead,
    Watch: rpcRead,
    Validate: rpcReadOrWrite
  },
  "invoice.v1.OutboxService": { Status: rpcAdmin, ListParked: rpcAdmin, Replay: rpcAdmin },
  // a check is one small answer; a watch is a stream that a stranger could hold open, so it needs a token
  "grpc.health.v1.Health": { Check: { open: true, scopes: AccessScope.none, rpc: true }, Watch: rpcAnyToken },
  // streams as well; clients such as grpcurl send the token with them
  "grpc.reflection.v1.ServerReflection": { ServerReflectionInfo: rpcAnyToken },
  "grpc.reflection.v1alpha.ServerReflection": { ServerReflectionInfo: rpcAnyToken }
}

const internalOnly = rpc(internalToo())

const rpcPaths: ReadonlyMap<string, Access> = new Map(
  Server.services.flatMap(({ methods, typeName }) =>
    methods.map(({ name }) => [`/${typeName}/${name}`, rpcMethods[typeName]?.[name] ?? internalOnly] as const)
  )
)

const inMethods = (methods: Readonly<Record<string, Access>>, method: string): Access | Unlisted =>
  (Object.hasOwn(methods, method) ? methods[method] : undefined) ?? Object.keys(methods)

/** @param path as the client sent it, without the query */
export const find = (method: string, path: string): Access | Unlisted => {
  const call = rpcPaths.get(path)
  if (call !== undefined) return call
  const methods = Object.hasOwn(restPaths, path) ? restPaths[path] : undefined
  if (methods !== undefined) return inMethods(methods, method)
  if (invoicePath.test(path)) return inMethods(invoiceMethods, method)
  return problemPath.test(path) ? inMethods(page, method) : "NotFound"
}
