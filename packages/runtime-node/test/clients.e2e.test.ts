/** Clients that we did not write: buf curl, grpcurl with reflection only, and a Go client made from proto/, and of Kafka. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, inject, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Redacted } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, type Running, start } from "./Process.ts"

const withoutGo = process.env["SKIP_GO_CLIENTS"] === "1"
const unclaimed = withoutGo ? " (not claimed: go)" : ""
const root = fileURLToPath(new URL("../../..", import.meta.url))
const go = fileURLToPath(new URL("../../../test/clients/go", import.meta.url))

interface Printed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const run = async (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>>; readonly input?: string } = {}
): Promise<Printed> => {
  const { env, input, ...rest } = options
  const running = promisify(execFile)(command, args, {
    ...rest,
    env: { ...process.env, PATH: `${root}node_modules/.bin:${process.env["PATH"] ?? ""}`, ...env },
    maxBuffer: 2 ** 26
  })
  running.child.stdin?.end(input ?? "")
  try {
    return { code: 0, ...(await running) }
  } catch (error) {
    const { code, stderr, stdout } = error as Printed
    return { code, stdout: stdout ?? "", stderr: stderr ?? String(error) }
  }
}

/** Fails with what the command printed when it did not succeed. */
const succeed = async (...parameters: Parameters<typeof run>): Promise<string> => {
  const { code, stderr, stdout } = await run(...parameters)
  assert.strictEqual(code, 0, `${parameters[0]} ${parameters[1].join(" ")}: ${stderr}${stdout}`)
  return stdout
}

const invoiceMessage = (override: Readonly<Record<string, unknown>> = {}) => ({
  id: crypto.randomUUID(),
  customerId: crypto.randomUUID(),
  amount: "9007199254740993.01",
  currency: "USD",
  dueDate: "2025-06-30T00:00:00.123456789Z",
  items: [
    { description: "An exact amount", quantity: "1", unitPrice: "9007199254740993.01", total: "9007199254740993.01" }
  ],
  ...override
})

describe("clients that we did not write", () => {
  const running: Array<Running> = []
  let http = ""
  let grpc = ""
  let storage = ""
  let onePort = ""
  let pipeline = ""

  beforeAll(async () => {
    const database = { DATABASE_URL: Redacted.value(await freshDatabase(inject("postgresUrl"))) }
    const itsOwn = { DATABASE_URL: Redacted.value(await freshDatabase(inject("postgresUrl"))) }
    const programs = await Promise.all([
      start("api", database),
      start("storage", database),
      start("api", { ...database, ONE_PORT: "true" }),
      // apart from the others, whose invoices stay pending
      start("up", { ...itsOwn, KAFKA_BROKERS: inject("kafkaBrokers") })
    ])
    running.push(...programs)
    http = programs[0].url("api")
    grpc = programs[0].url("grpc")
    storage = programs[1].url("grpc")
    onePort = programs[2].url("api")
    pipeline = programs[3].url("grpc")
  })

  afterAll(async () => {
    await Promise.all(running.map((program) => program.stop()))
  })

  describe("buf curl", () => {
    const curl = (protocol: string, url: string, method: string, data: unknown) =>
      run("buf", [
        "curl",
        "--protocol",
        protocol,
        ...(protocol === "grpc" || url === onePort ? ["--http2-prior-knowledge"] : []),
        "--reflect-protocol",
        "grpc-v1",
        "--data",
        JSON.stringify(data),
        `${url}/invoice.v1.InvoiceService/${method}`
      ])

    it.each([
      ["connect", () => onePort],
      ["grpc", () => grpc],
      ["grpc", () => onePort],
      ["grpcweb", () => onePort]
    ] as const)("speaks %s to a server that it knows nothing of", async (protocol, url) => {
      const invoice = invoiceMessage()
      const created = await curl(protocol, url(), "Create", { invoice })
      assert.strictEqual(created.code, 0, created.stderr)
      assert.deepStrictEqual(JSON.parse(created.stdout).invoice.invoice, invoice)
      const got = await curl(protocol, url(), "Get", { id: invoice.id })
      assert.strictEqual(JSON.parse(got.stdout).invoice.status, "INVOICE_STATUS_PENDING")
      const listed = await curl(protocol, url(), "List", { customerId: invoice.customerId })
      assert.strictEqual(JSON.parse(listed.stdout).invoices.length, 1)
      const history = await curl(protocol, url(), "History", { id: invoice.id })
      assert.strictEqual(JSON.parse(history.stdout).entries[0].by, "api")
      const verdict = await curl(protocol, url(), "Validate", { invoice: { ...invoice, amount: "1" } })
      assert.strictEqual(JSON.parse(verdict.stdout).violations[0].code, "BR-CO-10")
      const wrong = await curl(protocol, url(), "Create", { invoice: { ...invoice, amount: "10.555" } })
      assert.notStrictEqual(wrong.code, 0)
      assert.include(wrong.stderr, '"code": "invalid_argument"')
      assert.include(wrong.stderr, "google.rpc.BadRequest")
    })

    it("speaks Connect and gRPC-Web over HTTP/1.1, with the files of proto/", async () => {
      for (const protocol of ["connect", "grpcweb"]) {
        const invoice = invoiceMessage()
        const printed = await succeed("buf", [
          "curl",
          "--protocol",
          protocol,
          "--schema",
          `${root}proto`,
          "--data",
          JSON.stringify({ invoice }),
          `${http}/invoice.v1.InvoiceService/Create`
        ])
        assert.isTrue(JSON.parse(printed).created)
      }
    })

    it("imports a stream, one outcome for each line", async () => {
      const lines = [invoiceMessage(), invoiceMessage({ currency: "US$" }), invoiceMessage()]
      const printed = await succeed(
        "buf",
        [
          "curl",
          "--protocol",
          "grpc",
          "--http2-prior-knowledge",
          "--data",
          "@-",
          `${grpc}/invoice.v1.InvoiceService/Import`
        ],
        { input: lines.map((invoice) => JSON.stringify({ invoice })).join("\n") }
      )
      assert.deepStrictEqual(
        [...printed.matchAll(/"(created|failure)": \{/gu)].map(([, outcome]) => outcome),
        ["created", "failure", "created"]
      )
    })
  })

  it("curl alone, since Connect is HTTP and JSON", async () => {
    const document = Generators.document()
    assert.strictEqual((await create(http, document)).status, 200)
    const answer = await fetch(`${http}/invoice.v1.InvoiceService/Get`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: document["id"] })
    })
    assert.strictEqual(answer.status, 200)
    assert.include(await answer.text(), '"status":"INVOICE_STATUS_PENDING"')
  })

  // the first run on a machine downloads and compiles gRPC for Go
  describe("Go", { timeout: 600_000 }, () => {
    beforeAll(async () => {
      if (withoutGo) return
      const version = await run("go", ["version"])
      assert.strictEqual(version.code, 0, "the client tests need Go on the PATH, or SKIP_GO_CLIENTS=1 to go without")
      const proto = `${root}proto`
      const excluded = ["--exclude-path", `${proto}/grpc`, "--exclude-path", `${proto}/google`]
      await succeed("buf", ["generate", proto, "--template", "buf.gen.yaml", ...excluded], { cwd: go })
    }, 600_000)

    it.skipIf(withoutGo)(
      `client made from proto/: our services and the reference's, and what is on the topics${unclaimed}`,
      async () => {
        const printed = await succeed("go", ["test", "-count=1", "-v", "./..."], {
          cwd: go,
          env: {
            INVOICE_API: new URL(grpc).host,
            INVOICE_STORAGE: new URL(storage).host,
            INVOICE_PIPELINE: new URL(pipeline).host,
            KAFKA_BROKERS: inject("kafkaBrokers")
          }
        })
        assert.strictEqual(printed.match(/^--- PASS/gmu)?.length, 7, printed)
      }
    )

    it.skipIf(withoutGo)(`grpcurl finds everything by reflection${unclaimed}`, async () => {
      const grpcurl = (url: string, ...args: ReadonlyArray<string>) =>
        run("go", ["tool", "grpcurl", "-plaintext", ...args.slice(0, -1), new URL(url).host, ...args.slice(-1)], {
          cwd: go
        })
      for (const url of [grpc, onePort]) {
        assert.deepStrictEqual((await grpcurl(url, "list")).stdout.trim().split("\n"), [
          "grpc.health.v1.Health",
          "grpc.reflection.v1.ServerReflection",
          "grpc.reflection.v1alpha.ServerReflection",
          "invoice.v1.InvoiceService"
        ])
        const id = crypto.randomUUID()
        const item = { description: "x", quantity: "1", unit_price: "1", total: "1" }
        const invoice = { id, customer_id: id, amount: "1", currency: "USD", items: [item] }
        const create = await grpcurl(url, "-d", JSON.stringify({ invoice }), "invoice.v1.InvoiceService/Create")
        assert.strictEqual(create.code, 0, create.stderr)
        const health = await grpcurl(url, "grpc.health.v1.Health/Check")
        assert.include(health.stdout, "SERVING")
        const unknown = await grpcurl(
          url,
          "-d",
          JSON.stringify({ id: crypto.randomUUID() }),
          "invoice.v1.InvoiceService/Get"
        )
        assert.include(unknown.stderr, "Code: NotFound")
      }
      const services = (await grpcurl(storage, "list")).stdout
      assert.include(services, "protocol.api_service.storage.InvoiceStorage")
      assert.include(services, "protocol.validation.storage.InvoiceStorage")
      assert.include(services, "invoice.v1.OutboxService")
    })
  })
})
