/** No TypeScript, no Effect: validates a file, creates the invoice on a platform, prints its verdict and reasons. */
import { readFile } from "node:fs/promises"
import { createClient, InvoiceClientError } from "@invoice/adapters/connect/promise"
import { validate } from "@invoice/core/validate"

const [file, baseUrl = "http://localhost:8080"] = process.argv.slice(2)

const print = (who, { status, violations }) => {
  console.log(`${who}: ${status}`)
  for (const { code, message, path } of violations) console.log(`  ${code} ${path} ${message}`)
}

const here = validate(await readFile(file))
print("here", here)
if (here.status === "Invalid") process.exit(2)

const client = createClient({ baseUrl })
try {
  await client.create(here.invoice)
  for await (const { change } of client.watch({ from: "beginning" })) {
    if (change?.id === here.invoice.id && change.status !== "Pending") {
      print("the platform", change)
      break
    }
  }
} catch (error) {
  if (!(error instanceof InvoiceClientError)) throw error
  console.log(`the platform: ${error.code}, ${error.message}`)
}
