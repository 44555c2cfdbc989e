/** Attackers that write HTTP/1.1 by hand. */
import { connect, type Socket } from "node:net"
import { gzipSync } from "node:zlib"
import type { Stage } from "./Scene.ts"

/** Opens a connection to the API, which ends with the scene. */
export const open = async ({ later, program }: Stage, url = program.api): Promise<Socket> => {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve)
    socket.once("error", reject)
  })
  socket.on("error", () => {})
  later(() => socket.destroy())
  return socket
}

export interface RequestOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | number>>
  readonly close?: boolean
}

/** The bytes of a request. */
export const request = (
  path: string,
  body: string | Uint8Array,
  { close = true, headers = {}, method = "POST" }: RequestOptions = {}
): Buffer => {
  const bytes = Buffer.from(body)
  const all = {
    host: "localhost",
    "content-type": "application/json",
    "content-length": bytes.length,
    connection: close ? "close" : "keep-alive",
    ...headers
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`), bytes])
}

export const gzipped = { "content-encoding": "gzip" } as const
export const gzip = (text: string): Buffer => gzipSync(text, { level: 9 })

/** Records the status of the first answer on a connection, or that there was none. */
export const hear = ({ findings }: Stage, socket: Socket, name = "HTTP"): void => {
  let text = ""
  socket.on("data", (chunk: Buffer) => {
    if (text.length < 1_000) text += chunk.toString("latin1")
  })
  // 100 is no answer yet
  socket.once("close", () => findings.answered(`${name} ${/^HTTP\/1\.1 ([2-5]\d\d)/mu.exec(text)?.[1] ?? "no answer"}`))
}

export interface Heard {
  /** 0 without an answer. */
  readonly status: number
  /** Status line, headers and body as they came, the last cut at 10 MB. */
  readonly text: string
  readonly seconds: number
  /** Bytes that came. */
  readonly bytes: number
}

const mostText = 10_000_000

/** Sends bytes on a connection of their own, and reads until the server closes it, at most so many seconds. */
export const exchange = async (stage: Stage, bytes: Uint8Array, seconds = 10, url?: string): Promise<Heard> => {
  const startedAt = performance.now()
  const socket = await open(stage, url)
  const chunks: Array<Buffer> = []
  let length = 0
  socket.on("data", (chunk: Buffer) => {
    if (length < mostText) chunks.push(chunk)
    length += chunk.length
  })
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  const late = setTimeout(() => socket.destroy(), seconds * 1_000)
  const stop = (): void => void socket.destroy()
  stage.enough.addEventListener("abort", stop)
  socket.write(bytes)
  await closed
  clearTimeout(late)
  stage.enough.removeEventListener("abort", stop)
  const text = Buffer.concat(chunks).toString("utf8")
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/u.exec(text)?.[1] ?? 0),
    text,
    seconds: (performance.now() - startedAt) / 1_000,
    bytes: length
  }
}
