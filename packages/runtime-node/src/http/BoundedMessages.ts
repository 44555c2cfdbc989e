/**
 * The requests and responses of Node's servers, within the budgets of a process: what is received and what waits to be
 * sent is counted, and cut off where it must be. They are classes of their own because Node.js takes such for its
 * servers: nothing is wrapped for each request.
 */
import { IncomingMessage, ServerResponse } from "node:http"
import { constants, Http2ServerRequest, Http2ServerResponse, type ServerHttp2Stream } from "node:http2"
import type { Socket } from "node:net"
import type { MessageFraming } from "./MessageFraming.ts"
import * as Problem from "./Problem.ts"
import { type Body, Receiving, type Session as ReceivingSession } from "./Receiving.ts"
import { type Answer, Sending } from "./Sending.ts"
import * as StreamResets from "./StreamResets.ts"
import { Turns } from "./Turns.ts"

/** The budgets that all ports of a process share. */
export interface Budgets {
  readonly receiving: Receiving
  readonly sending: Sending
  /** Most requests of a session of HTTP/2 at work. */
  readonly maxAtWork: number
}

/**
 * @param maxBytes most bytes of bodies in hand; of answers that wait to be sent half as many
 * @param maxAtWork most requests of a session of HTTP/2 at work
 */
export const budgets = (maxBytes = 67_108_864, maxAtWork = 64): Budgets => ({
  receiving: new Receiving({ maxBytes }),
  // an answer that waits is held two or three times: as bytes, as what they are part of, and in Node's buffers
  sending: new Sending({ maxBytes: maxBytes / 2 }),
  maxAtWork
})

/** What counts the requests of a session of HTTP/2. */
export interface Session extends ReceivingSession {
  readonly turns: Turns
}

export const session = ({ maxAtWork, sending }: Budgets): Session => ({
  held: 0,
  turns: new Turns({ maxAtWork, maxUnsent: sending.maxBytes / 8 })
})

/** What counts a request and its answer. */
interface Counted extends Pick<Budgets, "receiving" | "sending"> {
  readonly body: Body
}

const heard = (counted: Counted | undefined, chunk: unknown): void => {
  if (counted === undefined) return
  if (chunk === null) counted.receiving.complete(counted.body)
  else if (chunk instanceof Uint8Array) counted.receiving.received(counted.body, chunk)
}

const begins = (counted: Counted | undefined): void => counted?.receiving.answered(counted.body)

const wrote = (counted: Counted | undefined, answer: Answer): void => counted?.sending.wrote(answer)

type Callback = (error?: Error | null) => void

/** A request of HTTP/1.1. */
export class Request1 extends IncomingMessage {
  counted: Counted | undefined = undefined

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    heard(this.counted, chunk)
    return super.push(chunk, encoding)
  }
}

/** The answer to a request of HTTP/1.1. */
export class Response1<Request extends IncomingMessage = IncomingMessage>
  extends ServerResponse<Request>
  implements Answer
{
  counted: Counted | undefined = undefined
  isOver = false
  /** Run when the answer has been sent: a list, since a listener of Node's for each costs more than all of them. */
  readonly whenOver: Array<() => void> = []

  override write(chunk: unknown, encoding?: BufferEncoding | Callback, callback?: Callback): boolean {
    begins(this.counted)
    const more = super.write(chunk, encoding as BufferEncoding, callback)
    wrote(this.counted, this)
    return more
  }

  override end(chunk?: unknown, encoding?: BufferEncoding | (() => void), callback?: () => void): this {
    begins(this.counted)
    super.end(chunk, encoding as BufferEncoding, callback)
    wrote(this.counted, this)
    return this
  }

  waits(): void {
    // a connection has one answer at a time
  }

  cut(): void {
    this.destroy()
  }
}

/** A request of HTTP/2. */
export class Request2 extends Http2ServerRequest {
  counted: Counted | undefined = undefined

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    heard(this.counted, chunk)
    return super.push(chunk, encoding)
  }
}

/** The answer to a request of HTTP/2. */
export class Response2<Request extends Http2ServerRequest = Http2ServerRequest>
  extends Http2ServerResponse<Request>
  implements Answer
{
  counted: Counted | undefined = undefined
  isOver = false
  /** Run when the answer has been sent: a list, since a listener of Node's for each costs more than all of them. */
  readonly whenOver: Array<() => void> = []
  turns: Turns | undefined = undefined
  private begin: (() => void) | undefined = undefined

  /** Calls `begin` when it is this request's turn in its session, at once if it can; at the latest when it is closed. */
  turn(begin: () => void): void {
    this.begin = begin
    this.turns?.take(begin, () => reset(this.stream))
  }

  /** The answer begins with so many bytes, or the stream is closed. */
  private given(bytes: number): void {
    const { begin, turns } = this
    if (begin === undefined || turns === undefined) return
    this.begin = undefined
    if (turns.leave(begin)) begin()
    else turns.give(bytes)
  }

  leave(): void {
    this.given(0)
    this.turns?.next()
  }

  override write(
    chunk: string | Uint8Array,
    encoding?: BufferEncoding | ((error: Error) => void),
    callback?: (error: Error) => void
  ): boolean {
    begins(this.counted)
    const more = super.write(chunk, encoding as BufferEncoding, callback)
    wrote(this.counted, this)
    this.given(chunk.length)
    return more
  }

  override end(
    chunk?: string | Uint8Array | (() => void),
    encoding?: BufferEncoding | (() => void),
    callback?: () => void
  ): this {
    begins(this.counted)
    super.end(chunk as string, encoding as BufferEncoding, callback)
    wrote(this.counted, this)
    this.given(typeof chunk === "object" || typeof chunk === "string" ? chunk.length : 0)
    return this
  }

  waits(bytes: number): void {
    if (this.turns === undefined) return
    this.turns.unsent += bytes
    if (bytes < 0) this.turns.next()
  }

  cut(): void {
    reset(this.stream)
    this.turns?.refuse()
  }
}

/** Resets a stream at once, and frees what it holds. A gRPC client takes it as RESOURCE_EXHAUSTED (gRPC over HTTP/2). */
const reset = (stream: ServerHttp2Stream): void => {
  if (stream.destroyed) return
  const { session } = stream
  const sent = session?.socket.bytesWritten
  StreamResets.isOurs(stream)
  stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  stream.destroy()
  if (session === undefined || session.destroyed) return
  // when not even the reset leaves the process, nothing else of the session will, and it holds what it would send
  setTimeout(() => {
    if (!session.destroyed && session.socket.bytesWritten === sent) session.destroy()
  }, 2_000).unref()
}

/** Cuts a request of HTTP/1.1 off: with a problem, when there is no answer yet. */
const cut1 = (response: ServerResponse, socket: Socket, problem: Problem.Problem): void => {
  if (response.headersSent) {
    socket.destroy()
    return
  }
  response
    .writeHead(problem.status, { ...problem.headers, "content-type": Problem.contentType, connection: "close" })
    .end(Problem.toText(problem))
}

const count = (request: Request1 | Request2, response: Response1 | Response2, counted: Counted): void => {
  request.counted = counted
  response.counted = counted
  // one function for all: a listener of its own for each response costs more, and so does `once`
  response.on("close", over)
}

/** A response has been sent, or can't be sent any more. */
function over(this: unknown): void {
  if (!(this instanceof Response1 || this instanceof Response2) || this.isOver) return
  this.isOver = true
  const { counted } = this
  if (counted !== undefined) {
    counted.receiving.over(counted.body)
    counted.sending.over(this)
  }
  if (this instanceof Response2) this.leave()
  for (const run of this.whenOver) run()
}

/** Counts a request of HTTP/1.1 in, until `close`. */
export const begin1 = (
  budgets: Budgets,
  request: Request1,
  response: Response1,
  framing: MessageFraming | undefined
): void => {
  const { socket } = request
  const body = budgets.receiving.begin({
    session: undefined,
    framing,
    isAwaited: () => request.readableLength === 0,
    cut: (reason) => cut1(response, socket, reason === "body_deadline" ? Problem.tooSlow : Problem.cutOff)
  })
  count(request, response, { receiving: budgets.receiving, sending: budgets.sending, body })
}

const isGrpc = (request: Http2ServerRequest): boolean =>
  request.headers["content-type"]?.startsWith("application/grpc") === true

/** gRPC's status for a body that did not come in time: DEADLINE_EXCEEDED. */
const grpcTooSlow = { ":status": 200, "content-type": "application/grpc", "grpc-status": "4" }

/** Tells the client of HTTP/2 that its body took too long. */
const tooSlow2 = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
  const { stream } = response
  if (stream.destroyed || stream.headersSent) {
    reset(stream)
    return
  }
  if (isGrpc(request)) {
    stream.respond({ ...grpcTooSlow, "grpc-message": Problem.tooSlow.detail }, { endStream: true })
  } else {
    response.writeHead(Problem.tooSlow.status, { "content-type": Problem.contentType })
    response.end(Problem.toText(Problem.tooSlow))
  }
  StreamResets.isOurs(stream)
  // the answer goes first, then the client is told to send no more (RFC 9113, section 8.1)
  stream.close(constants.NGHTTP2_NO_ERROR)
  setTimeout(() => reset(stream), 2_000).unref()
}

/** Counts a request of HTTP/2 in, until `close`. */
export const begin2 = (
  budgets: Budgets,
  request: Request2,
  response: Response2,
  framing: MessageFraming | undefined,
  session: Session
): void => {
  const { stream } = response
  const body = budgets.receiving.begin({
    session,
    framing,
    isAwaited: () => request.readableLength === 0,
    cut: (reason) => (reason === "body_deadline" ? tooSlow2(request, response) : reset(stream))
  })
  response.turns = session.turns
  count(request, response, { receiving: budgets.receiving, sending: budgets.sending, body })
}

/** Runs when the answer has left the process, or can't leave it any more. */
export const whenSent = (response: object, run: () => void): void => {
  if (!(response instanceof Response1 || response instanceof Response2)) run()
  else if (response.isOver) run()
  else response.whenOver.push(run)
}

/** Runs when it is the turn of the request that is answered so, at once if it can. */
export const turn = (response: object, begin: () => void): void => {
  if (response instanceof Response2) response.turn(begin)
  else begin()
}
