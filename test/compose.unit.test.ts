import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { settings } from "@invoice/runtime-node/Config"
import { Ajv2020 } from "ajv/dist/2020.js"
import { parse } from "yaml"

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), "utf8")

/** The part of a compose file that these laws look at. */
interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}
interface Service {
  readonly image: string
  readonly command?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string | number>>
  readonly ports?: ReadonlyArray<string>
  readonly volumes?: ReadonlyArray<string>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly disable?: boolean; readonly test?: ReadonlyArray<string> }
}

/** The compose file, with `change` made to its text first. */
const compose = (change: (text: string) => string = (text) => text): Compose =>
  parse(change(read("docker-compose.yml")), { merge: true })

const replacing = (from: string, to: string) => (text: string) => {
  assert.include(text, from)
  return text.replace(from, to)
}

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(
  JSON.parse(read("test/schemas/compose-spec.json"))
)

const schemaFaults = (document: Compose): ReadonlyArray<string> =>
  validate(document) ? [] : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`)

const isProgram = ([, service]: readonly [string, Service]): boolean => service.image === "invoice-platform"

/** Our programs that run on, by name: not the one that migrates and ends. */
const programs = (document: Compose): ReadonlyArray<readonly [string, Service]> =>
  Object.entries(document.services).filter((entry) => isProgram(entry) && entry[0] !== "migrate")

/** Ours, and the one that Node.js itself reads. */
const names = new Set(["NODE_OPTIONS", ...settings.flatMap((setting) => [setting.name, ...setting.aliases])])

const environmentFaults = (document: Compose): ReadonlyArray<string> =>
  Object.entries(document.services)
    .filter(isProgram)
    .flatMap(([name, { environment = {} }]) =>
      Object.keys(environment)
        .filter((variable) => !names.has(variable))
        .map((variable) => `${name}: ${variable} is no setting`)
    )

const dependencyFaults = ({ services }: Compose): ReadonlyArray<string> =>
  Object.entries(services).flatMap(([name, { depends_on = {} }]) =>
    Object.entries(depends_on).flatMap(([target, { condition }]) => {
      const service = services[target]
      if (service === undefined) return [`${name} depends on ${target}, which is not there`]
      const checked = service.healthcheck !== undefined && service.healthcheck.disable !== true
      return condition === "service_healthy" && !checked ? [`${name} waits for ${target}, which is never checked`] : []
    })
  )

const scrapeTargets = (text: string): ReadonlyArray<string> =>
  (
    parse(text) as {
      scrape_configs: ReadonlyArray<{ static_configs: ReadonlyArray<{ targets: ReadonlyArray<string> }> }>
    }
  ).scrape_configs.flatMap((job) => job.static_configs.flatMap((config) => config.targets))

/** Programs that Prometheus does not scrape at the port that they serve metrics on. */
const unscraped = (document: Compose, prometheus: string): ReadonlyArray<string> => {
  const targets = scrapeTargets(prometheus)
  return programs(document)
    .map(([name, { environment }]) => `${name}:${String(environment?.["METRICS_ADDRESS"]).split(":").at(-1)}`)
    .filter((target) => !targets.includes(target))
}

describe("docker-compose.yml", () => {
  it("follows the compose specification", () => {
    assert.deepEqual(schemaFaults(compose()), [])
  })

  it("a fault against the specification is found", () => {
    const faults = schemaFaults(compose(replacing("stop_grace_period: 15s", "stop_graceful_period: 15s")))
    assert.isNotEmpty(faults.filter((fault) => fault.startsWith("/services/api")))
  })

  it("has the services of the composition", () => {
    assert.includeMembers(Object.keys(compose().services), [
      "postgres",
      "kafka-1",
      "kafka-2",
      "kafka-3",
      "storage",
      "api",
      "message-scheduler-service",
      "validator",
      "otel-collector",
      "prometheus",
      "grafana"
    ])
  })

  it("runs each program in its role", () => {
    assert.deepEqual(
      programs(compose()).map(([name, { command }]) => [name, command]),
      [
        ["storage", ["storage"]],
        ["api", ["api"]],
        ["message-scheduler-service", ["relay"]],
        ["validator", ["validator"]]
      ]
    )
  })

  it("lets only the storage service know Postgres", () => {
    for (const [name, { environment }] of programs(compose())) {
      assert.strictEqual(environment?.["DATABASE_URL"] !== undefined, name === "storage", name)
      assert.strictEqual(environment?.["STORAGE_ADDRESS"], name === "storage" ? undefined : "storage:5000", name)
    }
  })

  it("sets no variable that is not a setting", () => {
    assert.deepEqual(environmentFaults(compose()), [])
  })

  it("a variable that is not a setting is found", () => {
    assert.deepEqual(environmentFaults(compose(replacing("  LOG_FORMAT:", "  LOG_FORMATS:"))), [
      "storage: LOG_FORMATS is no setting",
      "api: LOG_FORMATS is no setting",
      "message-scheduler-service: LOG_FORMATS is no setting",
      "validator: LOG_FORMATS is no setting"
    ])
  })

  it("depends only on services that are there, and waits only for those that are checked", () => {
    assert.deepEqual(dependencyFaults(compose()), [])
  })

  it("a dependency that is not there or not checked is found", () => {
    const missing = compose(
      replacing("kafka-3: { condition: service_healthy }", "kafka-4: { condition: service_healthy }")
    )
    assert.include(dependencyFaults(missing), "validator depends on kafka-4, which is not there")
    const unchecked = compose(
      replacing("prometheus: { condition: service_healthy }", "otel-collector: { condition: service_healthy }")
    )
    assert.deepEqual(dependencyFaults(unchecked), ["grafana waits for otel-collector, which is never checked"])
  })

  it("publishes the API where it listens, and every port to this machine only", () => {
    const { services } = compose()
    assert.deepEqual(services["api"]?.ports, ["127.0.0.1:8080:8080", "127.0.0.1:5000:5000"])
    assert.strictEqual(services["api"]?.environment?.["GRPC_ADDRESS"], "0.0.0.0:5000")
    assert.strictEqual(services["api"]?.environment?.["HTTP_ADDRESS"], "0.0.0.0:8080")
    for (const port of Object.values(services).flatMap((service) => service.ports ?? [])) {
      assert.match(port, /^127\.0\.0\.1:/u)
    }
  })

  it("says that authentication is off wherever a program listens beyond loopback", () => {
    for (const [name, { environment }] of programs(compose())) {
      assert.strictEqual(environment?.["AUTH"], "off", name)
    }
  })

  it("checks every program's /healthz at the port of its metrics", () => {
    for (const [name, { environment, healthcheck }] of programs(compose())) {
      assert.strictEqual(environment?.["METRICS_ADDRESS"], "0.0.0.0:9090")
      assert.include(healthcheck?.test?.join(" ") ?? "", "http://127.0.0.1:9090/healthz", name)
    }
    assert.match(read("Dockerfile"), /HEALTHCHECK[^\n]*\n[^\n]*PROMETHEUS_PORT \|\| 9090\}\/healthz/u)
  })

  it("mounts only files that are there and volumes that are declared", () => {
    const document = compose()
    for (const volume of Object.values(document.services).flatMap((service) => service.volumes ?? [])) {
      const [source = ""] = volume.split(":")
      if (source.startsWith("./")) assert.isTrue(existsSync(join(root, source)), source)
      else assert.property(document.volumes, source)
    }
  })

  it("pins every image", () => {
    for (const [name, { image }] of Object.entries(compose().services)) {
      if (image !== "invoice-platform") assert.match(image, /:v?\d/u, name)
    }
  })

  it("keeps no password but the default for developers", () => {
    const secrets = [...read("docker-compose.yml").matchAll(/^.*(?:PASSWORD|SECRET|TOKEN|PRIVATE_KEY).*$/gmu)]
    assert.isNotEmpty(secrets)
    for (const [line] of secrets) assert.include(line, `\${POSTGRES_PASSWORD:-invoice}`)
  })
})

describe("Prometheus", () => {
  it("scrapes every program", () => {
    assert.deepEqual(unscraped(compose(), read("deploy/prometheus.yml")), [])
  })

  it("a program that is not scraped is found", () => {
    const prometheus = replacing("message-scheduler-service:9090", "message-scheduler-service:9091")
    assert.deepEqual(unscraped(compose(), prometheus(read("deploy/prometheus.yml"))), [
      "message-scheduler-service:9090"
    ])
  })

  it("scrapes only services that are there", () => {
    const { services } = compose()
    for (const target of scrapeTargets(read("deploy/prometheus.yml"))) {
      assert.property(services, target.split(":")[0] ?? "")
    }
  })
})

describe("the Grafana dashboard", () => {
  it("reads the provisioned data source", () => {
    const provisioned = parse(read("deploy/grafana/provisioning/datasources/prometheus.yaml"))
    const uids = [...read("deploy/grafana/dashboards/invoice.json").matchAll(/"uid": "(\w+)"/gu)].map(([, uid]) => uid)
    assert.deepEqual([...new Set(uids)].sort(), ["invoice", provisioned.datasources[0].uid])
  })

  it("shows every metric of the wire contract", () => {
    const dashboard = read("deploy/grafana/dashboards/invoice.json")
    for (const metric of [
      "http_requests_total",
      "http_request_duration_seconds_bucket",
      "kafka_total_produce_messages",
      "kafka_total_produce_bytes",
      "kafka_total_consumed_messages",
      "total_handled_invoices"
    ]) {
      assert.include(dashboard, `${metric}[`)
    }
  })
})
