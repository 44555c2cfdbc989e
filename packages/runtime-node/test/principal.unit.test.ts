/** Who sent a request, from its token to the history of an invoice, and between our own programs. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createClient } from "@connectrpc/connect"
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceService } from "@invoice/adapters/connect/gen/invoice/v1/invoice_service_pb"
import { createClient as createPlainClient } from "@invoice/adapters/connect/promise"
import { InvoiceStore, Profile, ProfileValidator } from "@invoice/core"
import * as Backends from "@invoice/runtime-node/programs/Backends"
import * as Components from "@invoice/runtime-node/programs/Components"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Logger, References } from "effect"
import * as Ports from "./Ports.ts"
import { post, until } from "./Process.ts"
import * as Tokens from "./Tokens.ts"

const key = Tokens.pair("key")
const foreign = Tokens.pair("key")

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "invoice-principal-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

/** The settings of a server that accepts tokens of `key`. */
const accepting = Effect.flatMap(directory, (path) =>
  Effect.promise(async () => {
    const file = join(path, "public.pem")
    await writeFile(file, Tokens.publicPem(key))
    return { JWT_PUBLIC_KEY_FILE: file }
  })
)

const createAs = (api: string, sub: string, id: string) =>
  Effect.promise(async () =>
    post(`${api}/api/invoice/create`, JSON.stringify({ invoice: Generators.document({ id }) }), {
      "content-type": "application/json",
      authorization: `Bearer ${await Tokens.sign(key, { sub })}`
    })
  )

const by = (id: string) =>
  Effect.flatMap(InvoiceStore, (store) => Effect.map(store.history(id as never), ([entry]) => entry?.by))

describe("the principal of a request", () => {
  it.live("is the creator in the history, on each protocol, also for an import", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const { api = "", grpc = "" } = yield* Ports.api(yield* accepting)
        const rest = crypto.randomUUID()
        assert.strictEqual((yield* createAs(api, "zoë@example.com", rest)).status, 200)
        assert.strictEqual(yield* by(rest), "zoë@example.com")
        const line = crypto.randomUUID()
        const headers = {
          authorization: `Bearer ${yield* Effect.promise(() => Tokens.sign(key, { sub: "importer" }))}`,
          "content-type": "application/x-ndjson"
        }
        yield* Effect.promise(() =>
          post(`${api}/v1/invoices:import`, JSON.stringify(Generators.document({ id: line })), headers)
        )
        assert.strictEqual(yield* by(line), "importer")
        const transports = {
          connect: createConnectTransport({ baseUrl: api, httpVersion: "1.1" }),
          "grpc-web": createGrpcWebTransport({ baseUrl: api, httpVersion: "1.1" }),
          grpc: createGrpcTransport({ baseUrl: grpc })
        }
        for (const [name, transport] of Object.entries(transports)) {
          const client = createClient(InvoiceService, transport)
          const authorization = `Bearer ${yield* Effect.promise(() => Tokens.sign(key, { sub: name }))}`
          const [invoice, imported] = [message(), message()]
          yield* Effect.promise(() => client.create({ invoice }, { headers: { authorization } }))
          assert.strictEqual(yield* by(invoice.id), name)
          if (name !== "grpc") continue
          yield* Effect.promise(async () => {
            const requests = (async function* () {
              yield { invoice: imported }
            })()
            for await (const _ of client.import(requests, { headers: { authorization } }));
          })
          assert.strictEqual(yield* by(imported.id), name)
        }
      })
    ).pipe(Effect.scoped)
  )

  it.live("is whom the token of our own client names", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const { api = "" } = yield* Ports.api(yield* accepting)
        const client = createPlainClient({ baseUrl: api, token: () => Tokens.sign(key, { sub: "a client" }) })
        const id = crypto.randomUUID()
        yield* Effect.promise(() => client.create(Generators.document({ id })))
        assert.strictEqual(yield* by(id), "a client")
      })
    ).pipe(Effect.scoped)
  )

  it.live("is told to clients of every protocol as their own error, with the challenge", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const { api = "", grpc = "" } = yield* Ports.api(yield* accepting)
        for (const transport of [
          createConnectTransport({ baseUrl: api, httpVersion: "1.1" }),
          createGrpcWebTransport({ baseUrl: api, httpVersion: "1.1" }),
          createGrpcTransport({ baseUrl: grpc })
        ]) {
          const client = createClient(InvoiceService, transport)
          const unary = yield* Effect.promise(() => client.get({ id: "" }).catch((error) => error))
          assert.match(String(unary), /\[unauthenticated\] this needs a token/u)
          assert.include(unary.metadata.get("www-authenticate"), "Bearer")
          const streaming = yield* Effect.promise(async () => {
            try {
              for await (const _ of client.watch({}));
              return "it ended"
            } catch (error) {
              return error
            }
          })
          assert.match(String(streaming), /\[unauthenticated\] this needs a token/u)
        }
      })
    ).pipe(Effect.scoped)
  )
})

const message = () => ({
  id: crypto.randomUUID(),
  customerId: crypto.randomUUID(),
  amount: "1",
  currency: "USD",
  items: [{ description: "one", quantity: "1", unitPrice: "1", total: "1" }]
})

const logged: Array<string> = []

/** An api on a storage program, which shares the memory around. */
const overStorage = (apiEnv: Readonly<Record<string, string>>, storageEnv: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const storage = yield* Ports.storage(storageEnv)
    const settings = yield* Ports.settings({ ...apiEnv, STORAGE_ADDRESS: new URL(storage).host })
    const layers = Layer.mergeAll(yield* Backends.store("api", settings), ProfileValidator.layer(Profile.core))
    const { api = "" } = yield* Effect.provideContext(
      Effect.flatMap(InvoiceStore, ({ ready }) => Components.api(settings, { store: ready })),
      yield* Layer.build(layers)
    )
    return api
  }).pipe(
    Effect.provide(Logger.layer([Logger.make((options) => logged.push(Logger.formatJson.log(options)))])),
    Effect.provideService(References.MinimumLogLevel, "Error")
  )

describe("between our own programs", () => {
  it.live("the api shows its token to the storage program, which records for whom it created", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const env = yield* accepting
        const token = yield* Effect.promise(() => Tokens.sign(key, { sub: "the api", scope: "internal" }))
        const api = yield* overStorage({ ...env, STORAGE_TOKEN: token }, env)
        const id = crypto.randomUUID()
        assert.strictEqual((yield* createAs(api, "alice", id)).status, 200)
        assert.strictEqual(yield* by(id), "alice")
        assert.strictEqual((yield* Effect.promise(() => fetch(`${api}/readyz`))).status, 200)
      })
    ).pipe(Effect.scoped)
  )

  it.live("a token that the storage program refuses makes the api unavailable, and the log says why", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const env = yield* accepting
        const refused = [
          {},
          { STORAGE_TOKEN: yield* Effect.promise(() => Tokens.sign(key)) },
          { STORAGE_TOKEN: yield* Effect.promise(() => Tokens.sign(foreign, { scope: "internal" })) }
        ]
        for (const withToken of refused) {
          const api = yield* overStorage({ ...env, ...withToken }, env)
          assert.strictEqual((yield* createAs(api, "alice", crypto.randomUUID())).status, 503)
          const ready = yield* Effect.promise(() => fetch(`${api}/readyz`))
          assert.strictEqual(ready.status, 503)
          assert.notInclude(yield* Effect.promise(() => ready.text()), "token")
          assert.isTrue(logged.some((line) => line.includes("STORAGE_TOKEN")))
          logged.length = 0
        }
      })
    ).pipe(Effect.scoped)
  )

  it.live("a new token in the file is used without a restart", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const env = yield* accepting
        const file = join(yield* directory, "token")
        const sign = (by: Tokens.Pair) => Effect.promise(() => Tokens.sign(by, { scope: "internal" }))
        const old = yield* sign(foreign)
        yield* Effect.promise(() => writeFile(file, old))
        const api = yield* overStorage({ ...env, STORAGE_TOKEN_FILE: file }, env)
        assert.strictEqual((yield* createAs(api, "alice", crypto.randomUUID())).status, 503)
        const fresh = yield* sign(key)
        yield* Effect.promise(async () => {
          await writeFile(`${file}.new`, `${fresh}\n`)
          await rename(`${file}.new`, file)
        })
        const token = yield* Effect.promise(() => Tokens.sign(key))
        const headers = { "content-type": "application/json", authorization: `Bearer ${token}` }
        yield* Effect.promise(() =>
          until(
            () => post(`${api}/api/invoice/create`, JSON.stringify({ invoice: Generators.document() }), headers),
            ({ status }) => status === 200
          )
        )
      })
    ).pipe(Effect.scoped)
  )
})
