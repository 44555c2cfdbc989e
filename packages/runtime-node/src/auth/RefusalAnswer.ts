/** Answers a refused request in the words of its protocol: a problem for REST, the protocol's own error for a call. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http"
import * as Problem from "../http/Problem.ts"
import * as Refusal from "./Refusal.ts"

const titles = {
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  429: "Too Many Requests",
  503: "Service Unavailable"
} as const

/** Codes of gRPC (https://grpc.github.io/grpc/core/md_doc_statuscodes.html) and their names in Connect. */
const codes = {
  401: { grpc: 16, connect: "unauthenticated" },
  403: { grpc: 7, connect: "permission_denied" },
  404: { grpc: 12, connect: "unimplemented" },
  405: { grpc: 12, connect: "unimplemented" },
  429: { grpc: 8, connect: "resource_exhausted" },
  503: { grpc: 14, connect: "unavailable" }
} as const

const headersOf = (refusal: Refusal.Refusal): OutgoingHttpHeaders => {
  const challenge = Refusal.challenge(refusal)
  return {
    ...(challenge === undefined ? {} : { "www-authenticate": challenge }),
    ...(refusal.allow === undefined ? {} : { allow: refusal.allow }),
    ...(refusal.retryAfterSeconds === undefined ? {} : { "retry-after": String(refusal.retryAfterSeconds) })
  }
}

const send = (
  response: ServerResponse,
  status: number,
  contentType: string,
  headers: OutgoingHttpHeaders,
  body: string | Buffer
): void => void response.writeHead(status, { "content-type": contentType, ...headers }).end(body)

/** The status in the headers of an answer without a message, which both gRPC and gRPC-Web call "trailers only". */
const sendGrpc = (response: ServerResponse, contentType: string, refusal: Refusal.Refusal): void => {
  const { detail, status } = Refusal.kindOf(refusal)
  const { retryAfterSeconds } = refusal
  void response
    .writeHead(200, {
      "content-type": contentType,
      "grpc-status": String(codes[status].grpc),
      // all texts are printable ASCII without a percent sign, so none needs gRPC's percent encoding
      "grpc-message": detail,
      ...headersOf(refusal),
      // how clients that retry by themselves are told to wait (gRFC A6)
      ...(retryAfterSeconds === undefined ? {} : { "grpc-retry-pushback-ms": String(retryAfterSeconds * 1000) })
    })
    .end()
}

/** An envelope whose flag says that the stream ends (https://connectrpc.com/docs/protocol#error-end-stream). */
const endOfStream = (text: string): Buffer => {
  const envelope = Buffer.alloc(5 + Buffer.byteLength(text))
  envelope[0] = 0b10
  envelope.writeUInt32BE(envelope.length - 5, 1)
  envelope.write(text, 5)
  return envelope
}

const sendConnect = (response: ServerResponse, contentType: string, refusal: Refusal.Refusal): void => {
  const { detail, status } = Refusal.kindOf(refusal)
  const error = { code: codes[status].connect, message: detail }
  const headers = headersOf(refusal)
  if (contentType.startsWith("application/connect+")) {
    send(response, 200, contentType, headers, endOfStream(JSON.stringify({ error })))
  } else {
    send(response, status, "application/json", headers, JSON.stringify(error))
  }
}

const sendProblem = (response: ServerResponse, refusal: Refusal.Refusal): void => {
  const { detail, status } = Refusal.kindOf(refusal)
  send(
    response,
    status,
    Problem.contentType,
    headersOf(refusal),
    Problem.toText({ status, title: titles[status], detail })
  )
}

/** The media type without its parameters, if it is one that we may repeat. */
const mediaType = ({ headers }: IncomingMessage): string =>
  /^application\/(grpc|connect\+)[a-z+-]*/u.exec(headers["content-type"] ?? "")?.[0] ?? ""

/** @param rpc whether the path is a method of an RPC service */
export const answer = (
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal.Refusal,
  rpc: boolean
): void => {
  const contentType = mediaType(request)
  if (contentType.startsWith("application/grpc")) sendGrpc(response, contentType, refusal)
  else if (rpc) sendConnect(response, contentType, refusal)
  else sendProblem(response, refusal)
}
