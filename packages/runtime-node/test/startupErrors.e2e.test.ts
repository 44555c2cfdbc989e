import { createServer } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { dataDir, start } from "./Process.ts"

/** What a program prints when it doesn't start. */
const refusal = (program: string, env: Readonly<Record<string, string>>): Promise<string> =>
  start(program, env).then(
    async (running) => {
      await running.stop()
      return "it started"
    },
    (error: Error) => error.message
  )

describe("a program that can't start", () => {
  it.each([
    ["api", {}, "DATABASE_URL"],
    ["relay", {}, "DATABASE_URL"],
    ["relay", { DATABASE_URL: "postgres://localhost/x" }, "KAFKA_BROKERS"],
    ["validator", {}, "DATABASE_URL"],
    ["migrate", {}, "DATABASE_URL"],
    ["up", { HTTP_ADDRESS: ":0" }, "AUTH=off"],
    ["up", { METRICS_ADDRESS: "0.0.0.0:0" }, "AUTH=off"],
    ["up", { STORAGE_ADDRESS: "storage:5000" }, "STORAGE_ADDRESS"],
    ["storage", { DATABASE_URL: "postgres://localhost/x", STORAGE_ADDRESS: "storage:5000" }, "STORAGE_ADDRESS"],
    ["storage", {}, "DATABASE_URL"],
    ["api", { DATABASE_URL: "postgres://localhost/x", STORAGE_ADDRESS: "storage:5000" }, "STORAGE_ADDRESS"],
    ["up", { GRPC_ADDRESS: ":0", GRPC_PORT: "0" }, "GRPC_ADDRESS"],
    ["up", { TLS_CERT: "nowhere.pem" }, "TLS_KEY"],
    ["up", { TLS_CERT: "nowhere.pem", TLS_KEY: "nowhere.pem" }, "TLS_CERT"],
    ["up", { TLS_CERT: "README.md", TLS_KEY: "README.md" }, "TLS_CERT"],
    ["up", { HTTP_ADDRESS: "nonsense" }, "HTTP_ADDRESS"],
    ["api", { DATABASE_URL: "not-a-url" }, "DATABASE_URL: Expected postgres://"],
    ["api", { DATABASE_URL: "mysql://invoice:hunter2@localhost/x" }, "DATABASE_URL: Expected postgres://"],
    ["api", { DATABASE_URL: "postgres://invoice:hunter2%cret@localhost:1/x" }, "DATABASE_URL: Expected %25"],
    ["up", { ALLOWED_HOSTS: "localhost:8080" }, "ALLOWED_HOSTS"],
    ["up", { ALLOWED_ORIGINS: "https://app.example.com/" }, "ALLOWED_ORIGINS"],
    ["up", { WORKERS_COUNT: "many" }, "WORKERS_COUNT"],
    ["up", { VALIDATOR: "none" }, "VALIDATOR"]
  ] as const)("%s with %o says so in a line that names %s, and exits with 1", async (program, env, name) => {
    const message = await refusal(program, env)
    assert.include(message, "ended (1)")
    assert.include(message, name)
    assert.notMatch(message, /^\s+at /mu)
    assert.notInclude(message, "hunter2")
  })

  it("says that its port is in use", async () => {
    const server = createServer()
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resolve(typeof address === "object" && address !== null ? address.port : 0)
      })
    })
    const directory = await dataDir()
    try {
      const message = await refusal("up", { DATA_DIR: directory.path, HTTP_ADDRESS: `127.0.0.1:${port}` })
      assert.include(message, "ended (1)")
      assert.include(message, "HTTP_ADDRESS")
      assert.include(message, "EADDRINUSE")
      assert.notMatch(message, /^\s+at /mu)
    } finally {
      server.close()
      await directory.remove()
    }
  })
})
