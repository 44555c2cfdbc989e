import { Code, ConnectError, createClient } from "@connectrpc/connect"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { InvoiceService } from "../src/connect/gen/invoice/v1/invoice_service_pb.ts"
import { grpcTransport } from "../src/connect/node.ts"
import { Memory } from "../src/memory/index.ts"
import { serve } from "./RpcServer.ts"

describe("a list over RPC", () => {
  it.live("refuses times that there are not, and names the field", () =>
    Effect.gen(function* () {
      const client = createClient(InvoiceService, yield* grpcTransport({ baseUrl: yield* serve }))
      const times = [
        { seconds: 10n ** 12n, nanos: 0 },
        { seconds: 0n, nanos: -1 }
      ]
      for (const field of ["dueAfter", "dueBefore", "storedAfter", "storedBefore"] as const) {
        for (const time of times) {
          const error = yield* Effect.flip(Effect.tryPromise(() => client.list({ [field]: time })))
          const { code, rawMessage } = ConnectError.from(error.cause)
          assert.strictEqual(code, Code.InvalidArgument)
          assert.include(
            rawMessage,
            field.replace(/[A-Z]/u, (letter) => `_${letter.toLowerCase()}`)
          )
        }
      }
    }).pipe(Effect.provide(Memory.layer))
  )
})
