/** Mutants of the real programs: each replaces one part of the product's source. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export interface Patch {
  /** Below the root of the repository. */
  readonly file: string
  /** The text to replace, which the file has exactly once. */
  readonly find: string
  readonly replace: string
}

const session = "packages/core/src/usecases/RelaySession.ts"

export const patches = {
  /** A relay that takes over does not know which keys its predecessor has parked. */
  parkedForgotten: {
    file: session,
    find: "new Set((yield* options.outbox.parked).map(({ key }) => key))",
    replace: "new Set<string>()"
  },
  /** The position is set before the send, as if it could not fail. */
  positionBeforeSend: {
    file: session,
    find: "Effect.map(pages.relay(page.events), () => position.advance(page.next))",
    replace: "Effect.suspend(() => (position.advance(page.next), pages.relay(page.events)))"
  },
  /** A send to several brokers counts as done though the records of one partition were not sent. */
  partitionDropped: {
    file: "packages/core/src/usecases/RelayPages.ts",
    find: "publisher.publish(events.map(OutboxEvent.toMessage))",
    replace:
      "publisher.publish(events.map(OutboxEvent.toMessage).filter(({ key = '' }, _, all) => all.length < 8 || !key.endsWith('7')))"
  },
  /** The next pages of a window look beyond its end. */
  restUnbounded: {
    file: "packages/adapters/src/postgres/SnapshotWindow.ts",
    find: " and pg_visible_in_snapshot(e.xid, $3::text::pg_snapshot)",
    replace: ""
  },
  /** A rejection is published on the topic of approvals. */
  rejectionsAsApprovals: {
    file: "packages/core/src/domain/OutboxEvent.ts",
    find: "  topic: event.topic,\n",
    replace: '  topic: event.topic === "invoice_rejected" ? "invoice_approved" : event.topic,\n'
  },
  /** Every invoice is approved, whatever the rules say. */
  allApproved: {
    file: "packages/core/src/domain/Verdict.ts",
    find: 'rejects(violations) ? "Rejected" : "Approved"',
    replace: '"Approved"'
  }
} as const satisfies Record<string, Patch>

export type Name = keyof typeof patches

export const isName = (name: string): name is Name => Object.hasOwn(patches, name)

export const urlOf = ({ file }: Patch): string => new URL(`../../../${file}`, import.meta.url).href

/** Throws when the product has changed, so that the patch no longer fits. */
export const apply = (patch: Patch, source: string): string => {
  const parts = source.split(patch.find)
  if (parts.length !== 2) {
    throw new Error(`${patch.file} has ${parts.length - 1} times, not once: ${patch.find}`)
  }
  return parts.join(patch.replace)
}

/** The product's file with the patch. */
export const patched = (patch: Patch): string => apply(patch, readFileSync(fileURLToPath(urlOf(patch)), "utf8"))
