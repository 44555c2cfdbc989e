/** Reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) and lines of JSON. */

/** The lines of a body, without their ends. What follows the last line's end comes last, unless it is empty. */
export async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ""
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += decoder.decode(read.value, { stream: true })
      const parts = text.split("\n")
      text = parts.pop() ?? ""
      yield* parts
    }
    if (text !== "") yield text
  } finally {
    // the rest is not wanted when the reader of the lines leaves
    await reader.cancel().catch(() => undefined)
  }
}

/** One event; or only an id, which moves the place to go on from. */
export interface ServerSentEvent {
  readonly id: string | undefined
  readonly data: string | undefined
}

/** The events of a body, as our server writes them: `id` and one line of `data`. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let id: string | undefined
  let data: string | undefined
  for await (const line of lines(body)) {
    if (line === "") {
      if (id !== undefined || data !== undefined) yield { id, data }
      id = undefined
      data = undefined
    } else if (line.startsWith("id: ")) {
      id = line.slice(4)
    } else if (line.startsWith("data: ")) {
      data = line.slice(6)
    }
  }
}
