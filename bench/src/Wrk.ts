/** Measures how many requests a second a server answers, with `wrk`. */
import { execFile } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

export interface Figure {
  readonly rate: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly failed: number
}

/** What is sent again and again, with a new UUID wherever the body or a header says ID. */
export interface Request {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

const table = (headers: Readonly<Record<string, string>>): string =>
  Object.entries(headers)
    .map(([name, value]) => `["${name}"] = (string.gsub([==[${value}]==], "ID", id))`)
    .join(", ")

const script = ({ body, headers = {}, method, path }: Request): string => `
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init()
  math.randomseed(os.time() * 1000 + number * 7919)
  prefix = string.format("%08x", math.random(0, 2147483647))
  counter = 0
end
function request()
  counter = counter + 1
  local id = string.format("%s-%04x-4%03x-8000-%012x", prefix, number, math.random(0, 4095), counter)
  local headers = { ${table(body === undefined ? headers : { "content-type": "application/json", ...headers })} }
  return wrk.format("${method}", "${path}", headers, ${body === undefined ? "nil" : `(string.gsub([==[${body}]==], "ID", id))`})
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("FIGURE %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.status + errors.connect + errors.read + errors.timeout))
end`

export interface Options {
  /** Where the script may be written. */
  readonly directory: string
  readonly connections: number
  readonly seconds: number
}

export const measure = async (
  url: string,
  request: Request,
  { connections, directory, seconds }: Options
): Promise<Figure> => {
  const file = join(directory, "script.lua")
  await writeFile(file, script(request))
  const threads = Math.min(2, connections)
  const { stdout } = await run("wrk", [`-t${threads}`, `-c${connections}`, `-d${seconds}s`, "-s", file, url])
  const figures = /FIGURE (.*)/u.exec(stdout)?.[1]?.split(" ").map(Number)
  if (figures === undefined) {
    throw new Error(`wrk printed no figures: ${stdout}`)
  }
  const [requests = 0, micros = 1, p50 = 0, p99 = 0, failed = 0] = figures
  return { rate: requests / (micros / 1e6), p50: p50 / 1000, p99: p99 / 1000, failed }
}
