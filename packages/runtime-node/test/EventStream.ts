/** Reads server-sent events as they are on the wire, for tests. */

export interface ServerSentEvent {
  readonly id: string | undefined
  readonly data: string | undefined
}

const parse = (block: string): ServerSentEvent => {
  const field = (name: string) =>
    block
      .split("\n")
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2)
  return { id: field("id"), data: field("data") }
}

/** Every block of a stream that has an id: an event, or a sign of life without data. */
export async function* events(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder()
  let text = ""
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    const blocks = text.split("\n\n")
    text = blocks.pop() ?? ""
    yield* blocks.map(parse).filter(({ id }) => id !== undefined)
  }
}
