/**
 * `npm run test:openapi`: runs every check of schemathesis (https://schemathesis.readthedocs.io, MIT) on REST v1 of the real
 * program with an embedded Postgres, first without authentication, then with it: with a token, and without one. A client
 * that openapi-python-client (MIT) makes from the same document does the quick start with both. These tools are in Python:
 * they are installed into `.cache` with the versions of `requirements.txt`. Without Python it ends with exit code 3.
 *
 * `-- --long`: at least 3,000 random cases for each of the first two. Otherwise a minute with the same cases in each run.
 */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { dataDir, type Running, start } from "../../packages/runtime-node/test/Process.ts"
import * as Tokens from "../../packages/runtime-node/test/Tokens.ts"
import { binary, directory, here, install, run } from "./Environment.ts"
import { type Counts, pass } from "./Passes.ts"

const long = process.argv.includes("--long")
const unknown = process.argv.slice(2).filter((argument) => argument !== "--long")
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(" ")}; the only option is --long`)
  process.exit(2)
}

/** The phase `coverage` has some 600 cases whatever the number of examples; the short form has it once. */
const form = long
  ? { examples: 400, repeatable: false, atLeast: 3_000 }
  : { examples: 5, repeatable: true, atLeast: 50 }
const later = long ? form : { ...form, phases: "examples,fuzzing,stateful" }

/** One test: a command that must succeed. */
const check = async (title: string, command: string, args: ReadonlyArray<string>): Promise<Counts> => {
  console.log(`\n── ${title}`)
  const succeeded = (await run(command, args)) === 0
  if (!succeeded) console.error(`✗ ${title}`)
  return { passed: succeeded ? 1 : 0, failed: succeeded ? 0 : 1 }
}

const client = async (api: string): Promise<Counts> => {
  const document = join(directory, "openapi.json")
  await writeFile(document, await (await fetch(`${api}/openapi.json`)).text())
  return check("openapi-python-client makes a client from /openapi.json", binary("openapi-python-client"), [
    ...["generate", "--path", document, "--output-path", join(directory, "generated_client")],
    ...["--config", join(here, "generator.yaml"), "--meta", "none", "--overwrite"]
  ])
}

const quickStart = (title: string, api: string, token = ""): Promise<Counts> =>
  check(title, binary("python"), [join(here, "quick_start.py"), directory, api, token])

const sum = (all: ReadonlyArray<Counts>): Counts => ({
  passed: all.reduce((total, { passed }) => total + passed, 0),
  failed: all.reduce((total, { failed }) => total + failed, 0)
})

const open = async (api: string): Promise<Counts> =>
  sum([
    await client(api),
    await quickStart("its quick start, without authentication", api),
    await pass({ ...form, title: "without authentication", sender: "anyone", api })
  ])

const authenticated = async (api: string, token: string): Promise<Counts> =>
  sum([
    await quickStart("its quick start, with a token", api, token),
    await pass({ ...later, title: "with a token", sender: "token", api, token }),
    await pass({ ...later, examples: 5, atLeast: 50, title: "without the token", sender: "stranger", api })
  ])

/** Runs tests against the program; it must still be there, and end as it should. */
const against = async (
  env: Readonly<Record<string, string>>,
  tests: (server: Running) => Promise<Counts>
): Promise<Counts> => {
  const data = await dataDir()
  try {
    const server = await start("up", { DATA_DIR: join(data.path, "data"), ...env })
    try {
      return await tests(server)
    } finally {
      const code = await server.stop()
      if (code !== 0) {
        console.error(`✗ the program ended with ${code}:\n${server.output().slice(-10_000)}`)
        process.exitCode = 1
      }
    }
  } finally {
    await data.remove()
  }
}

const missing = await install()
if (missing !== undefined) {
  console.error(`\n✗ REST v1 was NOT checked against its OpenAPI document: ${missing}\n\n0 passed, 1 failed`)
  process.exit(3)
}

const pair = Tokens.pair("openapi")
const publicKey = join(directory, "public.pem")
await writeFile(publicKey, Tokens.publicPem(pair))
const token = await Tokens.sign(pair, { exp: Tokens.inSeconds(86_400) })

const { failed, passed } = sum([
  await against({}, (server) => open(server.url("api"))),
  await against({ JWT_PUBLIC_KEY_FILE: publicKey, JWT_ISSUER: Tokens.issuer }, (server) =>
    authenticated(server.url("api"), token)
  )
])
if (failed > 0) process.exitCode = 1
console.log(`\nnot checked here: /v1/events, which never ends\n${passed} passed, ${failed} failed`)
