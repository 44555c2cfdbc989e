import { spawn } from "node:child_process"

/** Runs a command to its end; rejects with its output when it fails or is not installed. */
export const run = (command: string, args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    const collect = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", collect)
    child.stderr.on("data", collect)
    child.once("error", reject)
    child.once("close", (code) => {
      if (code === 0) resolve(output.trim())
      else reject(new Error(`${command} ended with ${code}: ${output.trim().slice(-600)}`))
    })
  })
