/** Runs schemathesis once, and reads its report. */
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { binary, directory, here, run } from "./Environment.ts"

/** Who sends the requests: see hooks.py for what each is judged by. */
export type Sender = "anyone" | "token" | "stranger"

export interface Pass {
  readonly title: string
  readonly sender: Sender
  readonly api: string
  readonly token?: string
  /** Cases generated for an operation and a phase. */
  readonly examples: number
  /** The phases to run, all unless given. */
  readonly phases?: string
  /** The same cases in each run. */
  readonly repeatable: boolean
  /** Fewer cases are a failure: something kept the tool from its work. */
  readonly atLeast: number
}

export interface Counts {
  readonly passed: number
  readonly failed: number
}

interface Report {
  readonly complete: boolean
  readonly test_cases: { readonly generated: number; readonly with_failures: number; readonly errored: number }
}

const read = async (path: string): Promise<Report | undefined> => {
  try {
    return JSON.parse(await readFile(path, "utf8"))
  } catch {
    return undefined
  }
}

/** What a stranger's requests are refused for is the missing token alone, so there is nothing to accept. */
const withoutChecks = (sender: Sender): ReadonlyArray<string> =>
  sender === "stranger"
    ? ["--exclude-checks", "positive_data_acceptance,unsupported_method,allow_header_conformance"]
    : []

/** Counts cases; what the report does not explain counts as one failure. */
export const pass = async ({
  api,
  atLeast,
  examples,
  phases,
  repeatable,
  sender,
  title,
  token
}: Pass): Promise<Counts> => {
  console.log(`\n── ${title}`)
  const path = join(directory, `${sender}.json`)
  await rm(path, { force: true })
  const code = await run(
    binary("st"),
    [
      ...["--config-file", join(here, "schemathesis.toml"), "run", `${api}/openapi.json`],
      ...["--max-examples", String(examples), "--continue-on-failure", "--request-timeout", "20"],
      ...(repeatable ? ["--generation-deterministic"] : ["--generation-database", "none"]),
      ...(phases === undefined ? [] : ["--phases", phases]),
      // a stream without an end: restV1Streams.unit.test.ts compares its answers
      ...["--exclude-path", "/v1/events"],
      ...["--report", "json", "--report-json-path", path],
      ...(token === undefined ? [] : ["--header", `Authorization: Bearer ${token}`]),
      ...withoutChecks(sender)
    ],
    { OPENAPI_SENDER: sender }
  )
  const report = await read(path)
  if (report === undefined) {
    console.error(`✗ ${title}: schemathesis ended with ${code ?? "nothing: it can't be started"} and left no report`)
    return { passed: 0, failed: 1 }
  }
  const { errored, generated, with_failures } = report.test_cases
  const failed = with_failures + errored
  const few = generated < atLeast
  if (few) console.error(`✗ ${title}: ${generated} cases, expected ${atLeast} or more`)
  const unexplained = failed === 0 && (code !== 0 || !report.complete || few)
  console.log(`${title}: ${generated} cases, ${failed} failed`)
  return { passed: generated - failed, failed: failed + (unexplained ? 1 : 0) }
}
