/**
 * Serves the requests of a connection of HTTP/1.1 one after the other. Their answers must go out in their order anyway
 * (RFC 9112, section 9.3.2), so a client that pipelines many requests and reads no answer holds one answer, not all.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { LimitMetrics } from "@invoice/core"
import * as BoundedMessages from "./BoundedMessages.ts"

/** Most requests of a connection that wait for the one before them. Clients that pipeline send a few at once. */
const maxWaiting = 64

interface Connection {
  /** The response that is being made. */
  current: ServerResponse | undefined
  readonly waiting: Array<readonly [ServerResponse, () => void]>
}

export class Pipeline {
  private readonly connections = new Map<Socket, Connection>()
  private stopping = false

  /** Handles the request when those before it on its connection are answered. */
  serve(request: IncomingMessage, response: ServerResponse, handle: () => void): void {
    const { socket } = request
    // the parser goes on with what has been read of a connection that is closed
    if (socket.destroyed) return
    if (this.stopping) response.shouldKeepAlive = false
    const connection = this.connections.get(socket) ?? this.open(socket)
    if (connection.current === undefined) {
      this.begin(connection, response, handle)
    } else if (connection.waiting.length < maxWaiting) {
      connection.waiting.push([response, handle])
    } else {
      LimitMetrics.reached("pipelined")
      socket.destroy()
    }
  }

  /** From now on answers say that their connection closes, so that clients send no more on it. */
  stop(): void {
    this.stopping = true
    for (const { current, waiting } of this.connections.values()) {
      for (const response of [current, ...waiting.map(([response]) => response)]) {
        if (response !== undefined) response.shouldKeepAlive = false
      }
    }
  }

  private open(socket: Socket): Connection {
    const connection: Connection = { current: undefined, waiting: [] }
    this.connections.set(socket, connection)
    socket.once("close", () => this.connections.delete(socket))
    return connection
  }

  private begin(connection: Connection, response: ServerResponse, handle: () => void): void {
    connection.current = response
    BoundedMessages.whenSent(response, () => {
      connection.current = undefined
      const next = connection.waiting.shift()
      if (next !== undefined && !response.req.socket.destroyed) this.begin(connection, ...next)
    })
    handle()
  }
}
