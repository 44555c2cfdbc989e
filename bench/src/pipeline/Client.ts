/** A client of the REST API: node:http with keep-alive connections. */
import { randomUUID } from "node:crypto"
import { Agent, request } from "node:http"

export interface Client {
  /** Creates an invoice of two lines; answers its id. Rejects unless the answer is 2xx. */
  readonly create: () => Promise<string>
  readonly status: (id: string) => Promise<string>
  readonly close: () => void
}

const body = (id: string): string =>
  `{"invoice":{"id":"${id}","customer_id":"c78aef21-ae9f-4561-a2c9-3b7a7ea2f990","amount":1050.00,"currency":"USD",` +
  '"due_date":"2025-06-30T00:00:00Z","created_at":"2025-06-01T15:04:05Z","updated_at":"2025-06-10T10:22:30Z","items":[' +
  '{"description":"Website Design","quantity":1,"unit_price":1000.0,"total":1000.0},' +
  '{"description":"Hosting (1 month)","quantity":1,"unit_price":50.0,"total":50.0}],"notes":"Payment due within 30 days."}}'

export const make = (url: string, connections: number): Client => {
  const agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: "fifo" })
  const { hostname, port } = new URL(url)
  const post = (path: string, text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) }
      const call = request({ agent, hostname, port, path, method: "POST", headers }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", reject)
        response.on("end", () => {
          const answer = Buffer.concat(chunks).toString()
          if (response.statusCode !== undefined && response.statusCode < 300) {
            resolve(answer)
          } else {
            reject(new Error(`${response.statusCode}: ${answer}`))
          }
        })
      })
      call.on("error", reject)
      call.end(text)
    })
  return {
    create: async () => {
      const id = randomUUID()
      await post("/api/invoice/create", body(id))
      return id
    },
    status: async (id) => /"status":"(\w+)"/u.exec(await post("/api/invoice/get", `{"id":"${id}"}`))?.[1] ?? "",
    close: () => agent.destroy()
  }
}
