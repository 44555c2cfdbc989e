import { describe, expect, it } from "vitest"
import { Turns } from "../src/http/Turns.ts"

const make = () => {
  const turns = new Turns({ maxAtWork: 64, maxUnsent: 4_000_000 })
  let begun = 0
  let refused = 0
  const take = (count: number): void => {
    for (let index = 0; index < count; index++) {
      turns.take(
        () => {
          begun++
        },
        () => {
          refused++
        }
      )
    }
  }
  return { turns, take, begun: () => begun, refused: () => refused }
}

describe("the turns of a session", () => {
  it("begins with a few requests, and with more the more answers have come", () => {
    const { begun, take, turns } = make()
    take(1_000)
    expect(begun()).toBe(4)
    for (let answer = 0; answer < 100; answer++) turns.give(500)
    expect(begun()).toBe(164)
  })

  it("has only as many large answers at work as its client may leave unread", () => {
    const { begun, take, turns } = make()
    take(1_000)
    for (let answer = 0; answer < 100; answer++) turns.give(1_000_000)
    expect(begun()).toBe(104)
  })

  it("forgets a large answer when small ones follow", () => {
    const { begun, take, turns } = make()
    take(1_000)
    turns.give(1_000_000)
    for (let answer = 0; answer < 199; answer++) turns.give(500)
    expect(begun()).toBe(264)
  })

  it("begins one request whatever answers were before, and none while too much is unread", () => {
    const { begun, take, turns } = make()
    take(1)
    turns.give(9_000_000)
    take(1)
    expect(begun()).toBe(2)
    turns.give(9_000_000)
    turns.unsent = 9_000_000
    take(1)
    expect(begun()).toBe(2)
    turns.unsent = 0
    turns.next()
    expect(begun()).toBe(3)
  })

  it("refuses the requests that wait when their client reads no answers", () => {
    const { begun, refused, take, turns } = make()
    take(100)
    turns.refuse()
    expect([begun(), refused()]).toEqual([4, 96])
  })
})
