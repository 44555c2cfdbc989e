import { assert, describe, it } from "@effect/vitest"
import { Random } from "../faults/Random.ts"
import { Engine } from "./Engine.ts"
import { Brokers, codes } from "./kafka/Brokers.ts"
import { Groups, type Joined, type Reply, type Synced } from "./kafka/Groups.ts"

const made = () => {
  const engine = new Engine({ calm: true })
  const brokers = new Brokers(engine, new Random(1), 3)
  const [partition] = brokers.create("t", 3)
  const [node] = brokers.nodes
  if (partition === undefined || node === undefined) throw new Error("there is nothing")
  const append = (firstSequence: number, values: ReadonlyArray<string>, producer = 1, on = node) =>
    brokers.append(on, { id: producer, epoch: 0 }, "t", {
      partition: 0,
      firstSequence,
      messages: values.map((value) => ({ key: "k", value }))
    })
  const values = (): ReadonlyArray<string> => partition.log.map(({ value }) => Buffer.from(value).toString())
  return { engine, brokers, partition, node, append, values }
}

describe("a leader", () => {
  it("appends a batch once, however often it comes", () => {
    const { append, values } = made()
    assert.deepEqual(append(0, ["a", "b"]), { errorCode: 0, baseOffset: 0 })
    assert.deepEqual(append(2, ["c"]), { errorCode: 0, baseOffset: 2 })
    assert.deepEqual(append(0, ["a", "b"]), { errorCode: 0, baseOffset: 0 })
    assert.deepEqual(values(), ["a", "b", "c"])
  })

  it("takes other records under known numbers for known, and refuses numbers that leave a gap", () => {
    const { append, values } = made()
    append(0, ["a"])
    // in this way a producer that reuses sequence numbers loses records
    assert.deepEqual(append(0, ["x"]), { errorCode: 0, baseOffset: 0 })
    assert.strictEqual(append(5, ["z"]).errorCode, codes.outOfOrderSequenceNumber)
    assert.strictEqual(append(0, ["a"], 2).errorCode, 0)
    assert.deepEqual(values(), ["a", "a"])
  })

  it("that moved takes nothing, and the new one knows what is known", () => {
    const { append, brokers, partition, values } = made()
    append(0, ["a"])
    const [, next] = brokers.nodes
    if (next === undefined) return assert.fail()
    brokers.move(partition, next.id)
    assert.strictEqual(append(1, ["b"]).errorCode, codes.notLeaderForPartition)
    assert.strictEqual(append(0, ["a"], 1, next).baseOffset, 0)
    assert.strictEqual(append(1, ["b"], 1, next).baseOffset, 1)
    assert.deepEqual(values(), ["a", "b"])
    return undefined
  })

  it("takes nothing that is too large, or from whoever may not write", () => {
    const { append, brokers } = made()
    assert.strictEqual(append(0, ["x".repeat(1_001)]).errorCode, codes.messageTooLarge)
    brokers.denied.add("t")
    assert.strictEqual(append(0, ["a"]).errorCode, codes.topicAuthorizationFailed)
  })

  it("is another broker when it stops", () => {
    const { brokers, node } = made()
    brokers.stop(node)
    for (const { leader } of brokers.topics.get("t") ?? []) assert.notStrictEqual(leader, node.id)
  })
})

/** The answers, in order. */
class Answers<A> {
  readonly values: Array<A> = []
  readonly errors: Array<number> = []
  readonly reply: Reply<A> = { succeed: (value) => this.values.push(value), fail: (code) => this.errors.push(code) }
}

const member = { groupId: "g", sessionTimeout: 1_000, rebalanceTimeout: 3_000 }

const grouped = () => {
  const { brokers, engine, node } = made()
  const groups = new Groups(engine, brokers)
  const join = (memberId = ""): Answers<Joined> => {
    const answers = new Answers<Joined>()
    const groupProtocols = [{ name: "p", metadata: memberId }]
    groups.join(node, { ...member, memberId, groupProtocols }, answers.reply)
    return answers
  }
  const sync = (joined: Joined, shares: Readonly<Record<string, string>> = {}): Answers<Synced> => {
    const answers = new Answers<Synced>()
    const groupAssignment = Object.entries(shares).map(([memberId, share]) => ({ memberId, memberAssignment: share }))
    const { generationId, memberId } = joined
    groups.sync(node, { groupId: "g", memberId, generationId, groupAssignment }, answers.reply)
    return answers
  }
  const beat = ({ generationId, memberId }: Joined): Answers<null> => {
    const answers = new Answers<null>()
    groups.heartbeat(node, { groupId: "g", memberId, groupGenerationId: generationId }, answers.reply)
    return answers
  }
  return { engine, brokers, node, groups, join, sync, beat }
}

const only = <A>({ values: [value] }: Answers<A>): A => {
  if (value === undefined) throw new Error("there is no answer")
  return value
}

describe("a group", () => {
  it("waits for all of its members, and gives each the share that the first assigns", () => {
    const { beat, join, sync } = grouped()
    const first = only(join())
    sync(first, { [first.memberId]: "all" })
    const second = join()
    assert.deepEqual(second.values, [])
    assert.deepEqual(beat(first).errors, [codes.rebalanceInProgress])
    const again = only(join(first.memberId))
    const newcomer = only(second)
    assert.deepEqual([again.generationId, newcomer.generationId], [2, 2])
    assert.deepEqual([again.members.length, newcomer.members.length], [2, 0])
    const waits = sync(newcomer)
    assert.deepEqual(waits.values, [])
    const shares = { [again.memberId]: "half", [newcomer.memberId]: "other half" }
    assert.deepEqual(sync(again, shares).values, [{ memberAssignment: "half" }])
    assert.deepEqual(waits.values, [{ memberAssignment: "other half" }])
    assert.deepEqual(beat(newcomer).values, [null])
  })

  it("puts out who is silent for longer than its session, and knows it no more", async () => {
    const { beat, engine, groups, join, sync } = grouped()
    const silent = only(join())
    sync(silent, {})
    await engine.run(1_500, () => false)
    assert.strictEqual(groups.expired, 1)
    assert.deepEqual(beat(silent).errors, [codes.unknownMemberId])
    assert.deepEqual(join(silent.memberId).errors, [codes.unknownMemberId])
  })

  it("goes on without who does not join again in time", async () => {
    const { beat, engine, join, sync } = grouped()
    const [first, second] = [only(join()), join()]
    sync(first, {})
    const alive = (): void => {
      beat(first)
      engine.after(300, undefined, alive)
    }
    alive()
    await engine.run(5_000, () => second.values.length > 0)
    assert.strictEqual(only(second).generationId, 2)
  })

  it("takes offsets only from members of this generation, and keeps them", () => {
    const { groups, join, node, sync } = grouped()
    const joined = only(join())
    sync(joined, {})
    const commit = (generation: number): Answers<null> => {
      const answers = new Answers<null>()
      const topics = [{ topic: "t", partitions: [{ partition: 0, offset: "7" }] }]
      const request = { groupId: "g", memberId: joined.memberId, groupGenerationId: generation, topics }
      groups.commit(node, request, answers.reply)
      return answers
    }
    assert.deepEqual(commit(7).errors, [codes.illegalGeneration])
    assert.deepEqual(commit(joined.generationId).values, [null])
    const answers = new Answers<unknown>()
    groups.committed(node, "g", [{ topic: "t", partitions: [{ partition: 0 }, { partition: 1 }] }], answers.reply)
    assert.deepEqual(only(answers), {
      responses: [
        {
          topic: "t",
          partitions: [
            { partition: 0, offset: "7", metadata: null, errorCode: 0 },
            { partition: 1, offset: "-1", metadata: null, errorCode: 0 }
          ]
        }
      ]
    })
  })

  it("is asked at its coordinator, once that has read its state", async () => {
    const { beat, brokers, engine, groups, join, node, sync } = grouped()
    const joined = only(join())
    sync(joined, {})
    groups.move("g", 1, 200)
    assert.deepEqual(beat(joined).errors, [codes.notCoordinatorForGroup])
    const [, next] = brokers.nodes
    if (next === undefined) return assert.fail()
    const ask = (): Answers<null> => {
      const answers = new Answers<null>()
      const { generationId, memberId } = joined
      groups.heartbeat(next, { groupId: "g", memberId, groupGenerationId: generationId }, answers.reply)
      return answers
    }
    assert.deepEqual(ask().errors, [codes.groupLoadInProgress])
    await engine.run(300, () => false)
    assert.deepEqual(ask().values, [null])
    groups.failJoins("g", 1)
    groups.move("g", node.id, 0)
    assert.deepEqual(join().errors, [codes.groupLoadInProgress])
    return undefined
  })
})
