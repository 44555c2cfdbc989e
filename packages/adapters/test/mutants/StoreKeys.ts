/** Stores that take idempotency keys wrongly, or forget who creates. */
import { IdempotencyKeyReused } from "@invoice/core"
import type { CreateOptions, Creation, Idempotency } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import * as Memory from "../../src/memory/Memory.ts"
import { broken, type Ports } from "./Broken.ts"
import { instances, law, mutant, type Store } from "./BrokenStore.ts"
import type { Mutant } from "./Suite.ts"

/** Passes a create on with other options. */
const creates = (change: (options: CreateOptions) => CreateOptions) => (store: Store) => ({
  create: (invoice: Parameters<Store["create"]>[0], options: CreateOptions = {}) =>
    store.create(invoice, change(options))
})

/** Passes a create on with another key, hash or principal. */
const keyed = (change: (idempotency: Idempotency) => Idempotency | undefined) =>
  creates((options) => ({ ...options, idempotency: options.idempotency && change(options.idempotency) }))

/** Answers a create with something else. */
const answers =
  (change: (creation: Creation, store: Store) => Effect.Effect<Creation>) =>
  (store: Store): Partial<Store> => ({
    create: (invoice, options) => Effect.flatMap(store.create(invoice, options), (creation) => change(creation, store))
  })

/** Keeps the answers itself, by key, from when they are known: two requests at the same time both create. */
const keepsAnswers = (store: Store): Partial<Store> => {
  const kept = new Map<string, { readonly hash: string; readonly creation: Creation }>()
  return {
    create: (invoice, { idempotency, ...options } = {}) =>
      Effect.gen(function* () {
        if (idempotency === undefined) return yield* store.create(invoice, options)
        const name = JSON.stringify([idempotency.principal, idempotency.key])
        const known = kept.get(name)
        if (known !== undefined) {
          return known.hash === idempotency.hash
            ? { ...known.creation, outcome: known.creation.outcome === "Created" ? "Replayed" : known.creation.outcome }
            : yield* Effect.fail(new IdempotencyKeyReused({ key: idempotency.key }))
        }
        yield* Effect.yieldNow
        const creation = yield* store.create(invoice, options)
        kept.set(name, { hash: idempotency.hash, creation })
        return creation
      })
  }
}

/** Takes the key before it knows whether the request succeeds. */
const takesKeyFirst = (store: Store): Partial<Store> => {
  const hashes = new Map<string, string>()
  return {
    create: (invoice, options) =>
      Effect.suspend(() => {
        const idempotency = options?.idempotency
        const hash = idempotency && hashes.get(idempotency.key)
        if (idempotency !== undefined && hash !== undefined && hash !== idempotency.hash) {
          return Effect.fail(new IdempotencyKeyReused({ key: idempotency.key }))
        }
        if (idempotency !== undefined) hashes.set(idempotency.key, idempotency.hash)
        return store.create(invoice, options)
      })
  }
}

/** Writes the invoice before it looks at the key. */
const writesFirst = (store: Store): Partial<Store> => ({
  create: (invoice, options) =>
    options?.idempotency === undefined
      ? store.create(invoice, options)
      : Effect.tapErrorTag(store.create(invoice, options), "IdempotencyKeyReused", () =>
          Effect.ignore(store.create(invoice))
        )
})

/** Fails whoever comes after a reused key. */
const spoiledByReuse = (store: Store): Partial<Store> => {
  let spoiled = false
  return {
    create: (invoice, options) =>
      Effect.suspend(() => {
        if (!spoiled) {
          return Effect.tapErrorTag(store.create(invoice, options), "InvoiceConflict", () =>
            Effect.sync(() => (spoiled = options?.idempotency !== undefined))
          )
        }
        spoiled = false
        return Effect.fail(new IdempotencyKeyReused({ key: "a neighbour's" }))
      })
  }
}

/** The last create is the one that the history tells of. */
const namesTheLast = (store: Store): Partial<Store> => {
  const last = new Map<string, string>()
  return {
    create: (invoice, options) => {
      last.set(invoice.id, options?.by ?? "api")
      return store.create(invoice, options)
    },
    history: (id) =>
      Effect.map(store.history(id), (entries) => entries.map((entry) => ({ ...entry, by: last.get(id) ?? entry.by })))
  }
}

export const keys: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "takes no notice of keys",
    keyed(() => undefined),
    law.replay,
    law.reused,
    law.parallel,
    law.keysOfOne,
    law.keyKept
  ),
  mutant(
    "takes no notice of the hash",
    keyed((idempotency) => ({ ...idempotency, hash: "" })),
    law.reused,
    law.keyFound
  ),
  mutant(
    "shows a replayed invoice as it is now",
    answers((creation, store) =>
      creation.outcome === "Replayed"
        ? Effect.map(Effect.orDie(store.get(creation.stored.invoice.id)), (stored) => ({ ...creation, stored }))
        : Effect.succeed(creation)
    ),
    law.replay,
    law.keyKept
  ),
  mutant(
    "shows an invoice that was there already as it is now",
    answers((creation, store) =>
      creation.outcome === "Unchanged"
        ? Effect.map(Effect.orDie(store.get(creation.stored.invoice.id)), (stored) => ({ ...creation, stored }))
        : Effect.succeed(creation)
    ),
    law.keyFound
  ),
  mutant(
    "says Created to who comes again with a key",
    answers((creation) => Effect.succeed({ ...creation, outcome: "Created" })),
    law.replay,
    law.parallel,
    law.keysOfOne
  ),
  mutant("keeps a key only when the invoice is written", keepsAnswers, law.parallel),
  mutant("takes the key of a request that fails", takesKeyFirst, law.keyFree),
  mutant("writes the invoice of a request that it refuses", writesFirst, law.reused),
  mutant("fails the next request after one with a key", spoiledByReuse, law.keyNeighbours),
  mutant(
    "has the same keys for everybody",
    keyed((idempotency) => ({ ...idempotency, principal: "everybody" })),
    law.principals
  ),
  mutant(
    "puts the principal and the key together",
    keyed(({ hash, key, principal }) => ({ hash, principal: "", key: `${principal},${key}` })),
    law.principals
  ),
  {
    fault: "never forgets a key",
    make: () => broken({ store: keepsAnswers }),
    fails: [law.keyKept]
  },
  mutant(
    "forgets who creates",
    creates(({ by: _, ...options }) => options),
    law.by
  ),
  mutant("names the last who came", namesTheLast, law.by),
  { fault: "forgets keys with its instance", make: () => Memory.layer, fails: [law.keysOutlive] },
  instances("keeps the keys of each process apart", keepsAnswers, law.keysOfTwo, law.keysOutlive)
]
