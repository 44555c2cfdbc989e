/** Each thing that the adapter relies on of kafkajs beyond its interface is noticed when it is otherwise. */
import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import type { Message, RecordMetadata } from "kafkajs"
import { shapes, violations } from "../src/kafka/PrivateShapes.ts"

const load: (path: string) => unknown = createRequire(import.meta.url)

/** kafkajs with one of its modules made over. */
const altered =
  (path: string, alter: (original: never) => unknown) =>
  (wanted: string): unknown =>
    wanted === `kafkajs/src/${path}` ? alter(load(wanted) as never) : load(wanted)

type Construct = new (...parts: ReadonlyArray<unknown>) => object

/** A class whose instances are made over. */
const instances =
  (alter: (instance: Record<string, unknown>) => object) =>
  (Original: Construct): unknown =>
    class extends Original {
      constructor(...parts: ReadonlyArray<unknown>) {
        super(...parts)
        Object.assign(this, alter(this as unknown as Record<string, unknown>))
      }
    }

type Parts = Record<string, unknown>
type Create = (parts: object) => { readonly sendBatch: (batch: unknown) => Promise<Array<RecordMetadata>> }

const producer = (parts: (given: Parts) => object) =>
  altered("producer", (create: Create) => (given: Parts) => create({ ...given, ...parts(given) }))

type Partitioner = () => (args: { readonly message: Message }) => number

const broken: Record<keyof typeof shapes, (path: string) => unknown> = {
  requestQueue: altered(
    "network/requestQueue",
    instances(() => ({ pending: new Set() }))
  ),
  assignersCluster: altered(
    "consumer",
    (create: (parts: object) => unknown) => (parts: Parts) =>
      create({
        ...parts,
        partitionAssigners: (parts["partitionAssigners"] as Array<(config: object) => unknown>).map(
          (assigner) => () => assigner({})
        )
      })
  ),
  coordinator: altered(
    "consumer/consumerGroup",
    instances(({ cluster }) => ({ cluster: { findCoordinator: cluster } }))
  ),
  fetchedOffset: altered(
    "consumer/batch",
    instances(({ fetchedOffset }) => ({ fetchedOffset: undefined, offset: fetchedOffset }))
  ),
  lateResolveOffset: altered(
    "consumer/runner",
    instances(({ eachBatch }) => ({
      eachBatch: async (payload: object) => {
        let isOpen = true
        const { resolveOffset } = payload as { readonly resolveOffset: (offset: string) => void }
        await (eachBatch as (payload: object) => Promise<void>)({
          ...payload,
          resolveOffset: (offset: string) => isOpen && resolveOffset(offset)
        })
        isOpen = false
      }
    }))
  ),
  endBatchProcess: altered(
    "consumer/runner",
    instances(({ instrumentationEmitter }) => ({
      instrumentationEmitter: {
        emit: (name: string, { partition: _, ...payload }: Parts) =>
          (instrumentationEmitter as { readonly emit: (name: string, payload: object) => void }).emit(name, payload)
      }
    }))
  ),
  messageIdentity: producer(({ createPartitioner }) => ({
    createPartitioner: () => {
      const choose = (createPartitioner as Partitioner)()
      return ({ message, ...args }: { readonly message: Message }) => choose({ ...args, message: { ...message } })
    }
  })),
  triesOnce: producer(() => ({ retry: { retries: 1, initialRetryTime: 1 } })),
  targetTopics: altered("producer", (create: Create) => (parts: object) => ({
    ...create(parts),
    sendBatch: async () => []
  })),
  sequenceNumbers: producer(({ cluster }) => {
    const { findBroker } = cluster as {
      readonly findBroker: () => Promise<Record<string, (request: object) => unknown>>
    }
    let sent = 0
    const produce = (request: { topicData: Array<{ partitions: Array<object> }> }) => ({
      ...request,
      topicData: request.topicData.map((topic) => ({
        ...topic,
        partitions: topic.partitions.map((one) => ({ ...one, firstSequence: sent++ }))
      }))
    })
    return {
      cluster: {
        ...(cluster as object),
        findBroker: async () => {
          const broker = await findBroker()
          return { ...broker, produce: (request: never) => broker["produce"]?.(produce(request)) }
        }
      }
    }
  }),
  answer: altered("producer", (create: Create) => (parts: object) => {
    const made = create(parts)
    return {
      ...made,
      sendBatch: async (batch: unknown) =>
        (await made.sendBatch(batch)).map(({ topicName, ...rest }) => ({ topic: topicName, ...rest }))
    }
  }),
  nestedErrors: altered("protocol/error", (original: { createErrorFromCode: (code: number) => Error }) => ({
    createErrorFromCode: (code: number) => {
      const { type, ...error } = original.createErrorFromCode(code) as Error & { readonly type: string }
      return Object.assign(new Error(type), error)
    }
  }))
}

describe("kafkajs", () => {
  it("is as the adapter needs it", async () => {
    assert.deepStrictEqual(await violations(load), [])
  })

  for (const [name, alteration] of Object.entries(broken)) {
    const sentence = shapes[name]?.sentence ?? "no such shape"
    it(`is not used when ${sentence}`, async () => {
      const found = await violations(alteration)
      assert.include(found, sentence)
    })
  }

  it("is not used when a part of it is not where it was", async () => {
    const found = await violations((path) => {
      if (path.endsWith("batch")) throw new Error(`Cannot find module '${path}'`)
      return load(path)
    })
    assert.isTrue(found.some((one) => one.includes("Cannot find module 'kafkajs/src/consumer/batch'")))
  })
})
