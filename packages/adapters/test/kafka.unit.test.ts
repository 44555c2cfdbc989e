import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import type { PartitionMetadata } from "kafkajs"
import { KafkaFailure } from "../src/kafka/KafkaFailure.ts"
import { partitioner } from "../src/kafka/Partitioner.ts"
import { sizeOf } from "../src/kafka/Records.ts"

const partitions = (count: number): Array<PartitionMetadata> =>
  Array.from({ length: count }, (_, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: 1,
    replicas: [1],
    isr: [1]
  }))

/** `Utils.murmur2(key.getBytes(UTF_8))` of kafka-clients 4.1.0, run by its own jar. */
const murmur2OfJava: ReadonlyArray<readonly [key: string, hash: number]> = [
  ["53150a25-02f1-540a-99e7-48e267fd6d13", -737628508],
  ["c78aef21-ae9f-4561-a2c9-3b7a7ea2f990", 1262299925],
  ["00000000-0000-0000-0000-000000000000", 713427837],
  ["ffffffff-ffff-ffff-ffff-ffffffffffff", -359870222],
  ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", -610484791],
  ["01890a5d-ac96-774b-bcce-b302099a8057", 1397575165],
  ["", 275646681],
  ["a", -1563381124],
  ["ab", 316155434],
  ["abc", 479470107],
  ["ключ 🔑", -107108337]
]

describe("the partitioner", () => {
  it("puts a key where Java's default partitioner puts it, for any number of partitions", () => {
    const choose = partitioner()
    for (const [key, hash] of murmur2OfJava) {
      for (const count of [1, 2, 6, 12, 50]) {
        const message = { key, value: "" }
        const partition = choose({ topic: "new_invoice", partitionMetadata: partitions(count), message })
        // Utils.toPositive
        assert.strictEqual(partition, (hash & 0x7fffffff) % count)
      }
    }
  })

  it("keeps the partition of a message without key when kafkajs asks again", () => {
    const choose = partitioner()
    const message = { key: null, value: "" }
    const ask = () => choose({ topic: "new_invoice", partitionMetadata: partitions(50), message })
    const first = ask()
    assert.deepStrictEqual([ask(), ask(), ask()], [first, first, first])
  })

  it("spreads messages without key", () => {
    const choose = partitioner()
    const chosen = Array.from({ length: 12 }, () =>
      choose({ topic: "new_invoice", partitionMetadata: partitions(6), message: { key: null, value: "" } })
    )
    assert.strictEqual(new Set(chosen).size, 6)
  })
})

/** What kafkajs itself writes for a record that is far behind the first of its batch. */
const encoded = ({ headers, key, value }: Message): number => {
  const encode: (record: unknown) => { readonly buffer: Buffer } = createRequire(import.meta.url)(
    "kafkajs/src/protocol/recordBatch/record/v0"
  )
  return encode({ offsetDelta: 9_999, timestampDelta: 60_000, key, value: Buffer.from(value), headers }).buffer
    .byteLength
}

describe("the size of a message", () => {
  it("is at least what its record takes, and at most a few bytes for each part more", () => {
    for (const bytes of [0, 1, 63, 64, 8_191, 8_192, 1_000_000]) {
      for (const headers of [{}, { a: "" }, { ce_id: "x".repeat(bytes), ключ: "🔑" }]) {
        const message: Message = { topic: "t", key: "k".repeat(bytes), value: new Uint8Array(bytes), headers }
        const exact = encoded(message)
        assert.isAtLeast(sizeOf(message), exact)
        assert.isAtMost(sizeOf(message), exact + 40 + 6 * Object.keys(headers).length)
      }
    }
  })
})

describe("a failure of kafkajs", () => {
  const protocolError = (type: string): Error => Object.assign(new Error(type), { name: "KafkaJSProtocolError", type })

  it("has Kafka's type, however deep kafkajs wrapped it", () => {
    const retried = new Error("retried", { cause: protocolError("MESSAGE_TOO_LARGE") })
    const aggregate = Object.assign(new Error("several"), { errors: [protocolError("POLICY_VIOLATION")] })
    assert.strictEqual(KafkaFailure.from(new Error("again", { cause: retried })).type, "MESSAGE_TOO_LARGE")
    assert.strictEqual(KafkaFailure.from(aggregate).type, "POLICY_VIOLATION")
    assert.strictEqual(KafkaFailure.from("nonsense").type, "UNKNOWN")
  })

  it("ends also for an error that names itself as its cause", () => {
    const error: Error & { cause?: unknown } = new Error("loop")
    error.cause = { name: "Other", cause: error }
    assert.isString(KafkaFailure.from(error).type)
  })

  it("refuses records only for what is wrong with the records or the name of their topic", () => {
    for (const type of ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD", "INVALID_TOPIC_EXCEPTION"]) {
      assert.isTrue(KafkaFailure.from(protocolError(type)).refuses, type)
    }
    for (const type of [
      "NOT_ENOUGH_REPLICAS",
      "NOT_LEADER_FOR_PARTITION",
      "REQUEST_TIMED_OUT",
      "OUT_OF_ORDER_SEQUENCE_NUMBER",
      "UNKNOWN_PRODUCER_ID",
      "UNKNOWN_TOPIC_OR_PARTITION",
      "KAFKA_STORAGE_ERROR",
      "INVALID_TIMESTAMP",
      "TOPIC_AUTHORIZATION_FAILED",
      "CLUSTER_AUTHORIZATION_FAILED",
      "POLICY_VIOLATION",
      "UNKNOWN"
    ]) {
      assert.isFalse(KafkaFailure.from(protocolError(type)).refuses, type)
    }
    assert.isFalse(KafkaFailure.from(Object.assign(new Error("gone"), { name: "KafkaJSConnectionError" })).refuses)
  })

  it("gives a subscription up only for what a person must change", () => {
    for (const type of ["GROUP_AUTHORIZATION_FAILED", "INVALID_GROUP_ID", "SASL_AUTHENTICATION_FAILED"]) {
      assert.isTrue(KafkaFailure.from(protocolError(type)).impossible, type)
    }
    for (const type of ["GROUP_LOAD_IN_PROGRESS", "UNKNOWN_MEMBER_ID", "COORDINATOR_NOT_AVAILABLE", "UNKNOWN"]) {
      assert.isFalse(KafkaFailure.from(protocolError(type)).impossible, type)
    }
  })
})
