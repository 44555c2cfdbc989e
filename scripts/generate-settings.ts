/** Writes docs/settings.md from the one list of settings. */
import { writeFileSync } from "node:fs"
import { settings } from "@invoice/runtime-node/Config"

const rows = settings.map(
  ({ aliases, default: fallback, description, name }) =>
    `| \`${name}\`${aliases.map((alias) => `<br>\`${alias}\``).join("")} | ${fallback} | ${description} |`
)

writeFileSync(
  new URL("../docs/settings.md", import.meta.url),
  `# Settings

Environment variables, the same for every program; \`invoice --help\` prints this list too. Where two names are given, the
first one wins; the second is the name in the reference service. This page is generated from
[Config.ts](../packages/runtime-node/src/Config.ts) by \`scripts/generate-settings.ts\`.

| Name | Default | Meaning |
|---|---|---|
${rows.join("\n")}
`
)
