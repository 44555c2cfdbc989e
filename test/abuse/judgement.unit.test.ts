import { describe, expect, it } from "vitest"
import { Findings } from "./Findings.ts"
import * as Frames from "./Http2Frames.ts"
import { type Sample, statistics } from "./Samples.ts"
import { judge, type Outcome } from "./Scene.ts"

const sample = (over: Partial<Sample> = {}): Sample => ({
  kind: "REST create",
  at: 0,
  millis: 10,
  answer: "200",
  ok: true,
  ...over
})
const samples = (count: number, over: Partial<Sample> = {}): ReadonlyArray<Sample> =>
  Array.from({ length: count }, () => sample(over))

const outcome = (attacked: ReadonlyArray<Sample>, over: Partial<Outcome> = {}): Outcome => ({
  memory: { before: 200, peak: 300, after: 200 },
  baseline: statistics(samples(100), 0, 1_000),
  attacked: statistics(attacked, 0, 1_000),
  findings: new Findings(),
  stillOpen: 0,
  others: 0,
  ...over
})

describe("the judgement of a scene", () => {
  it("passes when memory stays within its bound and good clients are served in time", () => {
    expect(judge({}, outcome(samples(100)))).toEqual([])
  })

  it("fails when memory grows beyond its bound", () => {
    const memory = { before: 200, peak: 351, after: 200 }
    expect(judge({}, outcome(samples(100), { memory }))).toEqual(["memory grew by 151 MB, bound 150"])
  })

  it("fails when more than 1 % of the good clients wait too long", () => {
    const slow = [...samples(98), ...samples(2, { millis: 2_001 })]
    expect(judge({}, outcome(slow))).toEqual(["99 % of the good clients waited up to 2001 ms, bound 2000"])
  })

  it("fails when more than 1 % of the good requests fail, and when one for health does", () => {
    expect(judge({}, outcome([...samples(98), ...samples(2, { ok: false, answer: "503" })]))).toHaveLength(1)
    const health = [...samples(199), sample({ kind: "REST health", ok: false, answer: "503" })]
    expect(judge({}, outcome(health))).toEqual(["1 requests for health failed"])
  })

  it("fails when nobody was served because nobody asked", () => {
    expect(judge({}, outcome([]))).toEqual(["0 of 0 good requests failed"])
  })

  it("compares creates with those before the attack", () => {
    expect(judge({ bounds: { creates: 0.8 } }, outcome(samples(80)))).toEqual([])
    expect(judge({ bounds: { creates: 0.8 } }, outcome(samples(79)))).toEqual(["79 creates/s, before 100; bound 80 %"])
  })

  it("doesn't judge what good clients saw while others used the machine, but judges memory and findings", () => {
    const memory = { before: 0, peak: 400, after: 0 }
    expect(judge({}, outcome([], { others: 0.5, memory }))).toEqual(["memory grew by 400 MB, bound 150"])
  })

  it("fails with what the scene has found itself", () => {
    const findings = new Findings()
    findings.expect(false, "a page of 242 MB")
    expect(judge({}, outcome(samples(1), { findings }))).toEqual(["a page of 242 MB"])
  })
})

describe("frames of HTTP/2", () => {
  it("have a length of 24 bits, a type, flags and a stream (RFC 9113, 4.1)", () => {
    expect([...Frames.frame(Frames.types.ping, 1, 5, Buffer.alloc(2, 7))]).toEqual([0, 0, 2, 6, 1, 0, 0, 0, 5, 7, 7])
  })

  it("have headers whose lengths fit a prefix of 7 bits (RFC 7541, 5.1)", () => {
    expect([...Frames.header("a", "b")]).toEqual([0, 1, 97, 1, 98])
    // 1337 is an example of RFC 7541 with a prefix of 5 bits; with 7 bits it is 127 and 1210
    expect([...Frames.header("", "x".repeat(1_337)).subarray(0, 5)]).toEqual([0, 0, 127, 0xba, 9])
  })
})
