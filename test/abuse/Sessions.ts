/** Attackers that speak HTTP/2 well enough for node:http2. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2"
import type { Stage } from "./Scene.ts"

export interface SessionOptions {
  /** How many bytes of a stream the server may send before it is read (SETTINGS_INITIAL_WINDOW_SIZE). */
  readonly window?: number
  readonly url?: string
}

/** Opens a session, which ends with the scene. */
export const open = async (stage: Stage, { url, window }: SessionOptions = {}): Promise<ClientHttp2Session> => {
  const session = connect(url ?? stage.program.grpc, {
    settings: { enablePush: false, ...(window === undefined ? {} : { initialWindowSize: window }) },
    maxSessionMemory: 1_000
  })
  session.on("error", (error) => stage.findings.answered(`session: ${error.message}`))
  session.once("goaway", (code) => stage.findings.answered(`GOAWAY ${code}`))
  session.setMaxListeners(0)
  stage.later(() => session.destroy())
  await new Promise<void>((resolve) => {
    session.once("remoteSettings", () => resolve())
    session.once("close", () => resolve())
  })
  return session
}

export interface CallOptions {
  /** What is sent at once. */
  readonly bytes?: Uint8Array
  /** Whether the request ends with these bytes, default true. */
  readonly end?: boolean
  /** Whether to read the answer, default true. */
  readonly read?: boolean
  /** Whether its lifetime is one of the scene's, default true. */
  readonly follow?: boolean
  readonly headers?: OutgoingHttpHeaders
  /** Called with the answer: `grpc 0`, `HTTP 503`, `RST 8`. */
  readonly answered?: (answer: string) => void
}

/** Calls, and records the answer. Undefined when the session is closed. */
export const call = (
  { findings }: Stage,
  session: ClientHttp2Session,
  path: string,
  { answered, bytes, end = true, follow = true, headers = {}, read = true }: CallOptions = {}
): ClientHttp2Stream | undefined => {
  if (session.closed || session.destroyed) return undefined
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers
  })
  if (follow) findings.follow(stream)
  else stream.on("error", () => {})
  let answer: string | undefined
  const hear = (status: unknown, name: string): void => {
    if (status !== undefined) answer ??= `${name} ${String(status)}`
  }
  stream.once("response", (response) => {
    if (response[":status"] === 200) hear(response["grpc-status"], "grpc")
    else hear(response[":status"], "HTTP")
  })
  stream.once("trailers", (trailers) => hear(trailers["grpc-status"], "grpc"))
  stream.once("close", () => {
    const text = answer ?? `RST ${stream.rstCode}`
    findings.answered(text)
    answered?.(text)
  })
  if (read) stream.resume()
  if (end) stream.end(bytes)
  else if (bytes !== undefined) stream.write(bytes)
  return stream
}

/** Calls and waits for the answer, at most so many seconds. */
export const ask = (
  stage: Stage,
  session: ClientHttp2Session,
  path: string,
  options: Omit<CallOptions, "answered"> & { readonly seconds?: number } = {}
): Promise<string> =>
  new Promise((resolve) => {
    const late = setTimeout(
      () => {
        resolve("no answer")
        stream?.close()
      },
      (options.seconds ?? 10) * 1_000
    )
    const stream = call(stage, session, path, {
      ...options,
      follow: false,
      answered: (answer) => {
        clearTimeout(late)
        resolve(answer)
      }
    })
    if (stream === undefined) resolve("session closed")
  })
