/**
 * Imports invoices from lines of JSON (https://github.com/ndjson/ndjson-spec), and answers a line for each while it reads. It
 * holds no more than the lines in hand: it reads on only as fast as invoices are stored and the client takes the answer.
 */
import { createGunzip } from "node:zlib"
import { NodeStream } from "@effect/platform-node"
import type { Admission } from "@invoice/adapters/connect"
import {
  Allowance,
  Defect,
  Document,
  InvalidInvoice,
  type Invoices,
  Principal,
  paced,
  Traceparent
} from "@invoice/core"
import type { Creation } from "@invoice/core/ports/InvoiceStore"
import { Cause, Effect, Result, Stream } from "effect"
import { type HttpServerError, type HttpServerRequest, HttpServerResponse } from "effect/http"
import * as DocumentSplitter from "../../validate/DocumentSplitter.ts"
import * as Admitted from "../Admitted.ts"
import * as Problem from "../Problem.ts"

/** Most bytes of one line. */
const maxLineBytes = 1_048_576

/** How long a client may send nothing, in milliseconds. */
const idleMillis = 30_000

const contentType = /^application\/(x-ndjson|ndjson|jsonl)\s*(;|$)/iu

type Bytes = Stream.Stream<Uint8Array, HttpServerError.HttpServerError | BodyFailed>

/** The body can't be read to its end. */
class BodyFailed extends Error {
  readonly _tag = "BodyFailed"
}

/** The body without its content encoding; a problem when the encoding is not known. */
const decoded = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Bytes, Problem.Problem> => {
  const encoding = request.headers["content-encoding"]?.trim().toLowerCase()
  if (encoding === undefined || encoding === "identity") return Effect.succeed(request.stream)
  return encoding === "gzip" || encoding === "x-gzip"
    ? Effect.succeed(
        NodeStream.pipeThroughDuplex(request.stream, {
          evaluate: createGunzip,
          onError: () => new BodyFailed("the body is not gzip, as its content-encoding says")
        })
      )
    : Effect.fail(Problem.unsupported("content-encoding may be gzip or identity"))
}

const found = (bytes: Bytes): Stream.Stream<DocumentSplitter.Found, HttpServerError.HttpServerError | BodyFailed> =>
  Stream.suspend(() => {
    const splitter = DocumentSplitter.make("lines", { maxBytes: maxLineBytes })
    return bytes.pipe(
      Stream.timeoutOrElse({
        duration: idleMillis,
        orElse: () => Stream.fail(new BodyFailed(`nothing came for ${idleMillis / 1_000} seconds`))
      }),
      Stream.map((chunk) => splitter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))),
      Stream.concat(Stream.sync(() => splitter.end())),
      Stream.flatMap(Stream.fromIterable)
    )
  })

const stored = (line: number, { outcome, stored }: Creation): string =>
  `{"line":${line},"outcome":"${outcome === "Unchanged" ? outcome : "Created"}","id":"${stored.invoice.id}"}\n`

const failed = (line: number, problem: Problem.Problem): string =>
  `{"line":${line},"outcome":"Failed","problem":${Problem.toText(problem)}}\n`

/** What a line can fail with is written into its answer, so that the import goes on. */
const importLine = (
  invoices: Invoices["Service"],
  { bytes, line = 1 }: DocumentSplitter.Found
): Effect.Effect<string> => {
  if (bytes === undefined) {
    const detail = `a line may have ${maxLineBytes} bytes`
    return Effect.succeed(failed(line, Problem.of("content-too-large", detail)))
  }
  const document = Document.read(bytes)
  if (Result.isFailure(document)) {
    const error = new InvalidInvoice({ kind: "syntax", violations: [document.failure] })
    return Effect.succeed(failed(line, Problem.fromError(error)))
  }
  return invoices.create(document.success).pipe(
    Effect.map((creation) => stored(line, creation)),
    Effect.catch((error) => Effect.mapError(Problem.fail(error), (problem) => failed(line, problem))),
    Effect.catch(Effect.succeed),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.failCause(cause)
        : Effect.map(Defect.report("import of a line failed", cause), (id) => failed(line, Problem.defect(id)))
    )
  )
}

/**
 * The handler.
 *
 * @param imports imports of all protocols; what it refuses is answered with 503
 */
export const make =
  (invoices: Invoices["Service"], imports: Admission.Admission) =>
  (
    request: HttpServerRequest.HttpServerRequest
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, Problem.Problem> => {
    const type = request.headers["content-type"]
    if (type === undefined || !contentType.test(type)) {
      return Effect.fail(Problem.unsupported("content-type must be application/x-ndjson"))
    }
    const sender = Effect.all({ principal: Principal, allowance: Allowance })
    const answer = Effect.zipWith(decoded(request), sender, (bytes, { allowance, principal }) =>
      HttpServerResponse.stream(
        invoices
          .importEach(paced(found(bytes)), (document) =>
            Traceparent.within(request.headers["traceparent"], importLine(invoices, document))
          )
          .pipe(
            Stream.encodeText,
            // the body is written when the handler has ended, and with it what was provided around it
            Stream.provideService(Allowance, allowance),
            Stream.provideService(Principal, principal)
          ),
        { contentType: "application/x-ndjson" }
      )
    )
    return Admitted.within(imports, request, answer)
  }
