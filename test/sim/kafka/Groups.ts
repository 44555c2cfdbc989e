/**
 * Consumer groups as their coordinator manages them (Kafka's classic protocol): members join, the first of them assigns
 * the partitions, and each gets its share. A member that is silent for longer than its session timeout is removed, and
 * the group rebalances.
 */
import type { Engine, Planned } from "../Engine.ts"
import { type Brokers, codes, type Node } from "./Brokers.ts"

/** Sends an answer back: a value, or an error's code. */
export interface Reply<A> {
  readonly succeed: (value: A) => void
  readonly fail: (code: number) => void
}

export interface Joined {
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly groupProtocol: string
  readonly members: ReadonlyArray<{ readonly memberId: string; readonly memberMetadata: unknown }>
}

export interface Synced {
  readonly memberAssignment: unknown
}

interface Member {
  readonly id: string
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  readonly protocol: { readonly name: string; readonly metadata: unknown }
  joining: Reply<Joined> | undefined
  syncing: Reply<Synced> | undefined
  assignment: unknown
  expiry: Planned | undefined
}

type State = "empty" | "joining" | "assigning" | "stable"

interface Group {
  readonly name: string
  state: State
  generation: number
  leader: string | undefined
  coordinator: number
  /** Until this time the coordinator loads the group's state. */
  loadedAt: number
  /** This many more joins fail, as if the coordinator was loading. */
  failingJoins: number
  readonly members: Map<string, Member>
  /** Committed offsets, by topic and partition. */
  readonly offsets: Map<string, number>
  deadline: Planned | undefined
}

export interface JoinRequest {
  readonly groupId: string
  readonly memberId: string
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  readonly groupProtocols: ReadonlyArray<{ readonly name: string; readonly metadata: unknown }>
}

export interface SyncRequest {
  readonly groupId: string
  readonly memberId: string
  readonly generationId: number
  readonly groupAssignment: ReadonlyArray<{ readonly memberId: string; readonly memberAssignment: unknown }>
}

export interface MemberRequest {
  readonly groupId: string
  readonly memberId: string
  readonly groupGenerationId: number
}

export interface TopicOffsets {
  readonly topic: string
  readonly partitions: ReadonlyArray<{ readonly partition: number; readonly offset?: unknown }>
}

const noAssignment = Buffer.alloc(0)

const placeOf = (topic: string, partition: number): string => `${topic}/${partition}`

export class Groups {
  /** How many rebalances were completed. */
  rebalances = 0
  /** How many joins failed because the coordinator was loading. */
  failedJoins = 0
  /** How many requests came to a broker that does not coordinate the group, or still loads it. */
  refusals = 0
  /** How many members were removed because they were silent. */
  expired = 0
  private readonly engine: Engine
  private readonly brokers: Brokers
  private readonly groups = new Map<string, Group>()
  private memberIds = 0

  constructor(engine: Engine, brokers: Brokers) {
    this.engine = engine
    this.brokers = brokers
  }

  /** The broker that coordinates the group now. */
  coordinatorOf(name: string): number {
    const group = this.of(name)
    if (this.brokers.nodes[group.coordinator]?.isUp !== true) {
      const [next] = this.brokers.up
      if (next !== undefined) this.moveTo(group, next.id, 0)
    }
    return group.coordinator
  }

  /** Makes another broker the group's coordinator; it first loads the group's state. */
  move(name: string, node: number, loadingMillis: number): void {
    if (this.brokers.nodes[node]?.isUp === true) this.moveTo(this.of(name), node, loadingMillis)
  }

  failJoins(name: string, times: number): void {
    this.of(name).failingJoins += times
  }

  /** Ends all harm to the coordinators. */
  heal(): void {
    for (const group of this.groups.values()) {
      group.failingJoins = 0
      group.loadedAt = Math.min(group.loadedAt, this.engine.now)
    }
  }

  join(node: Node, request: JoinRequest, reply: Reply<Joined>): void {
    const group = this.of(request.groupId)
    const error = this.errorOf(group, node)
    if (error === 0 && group.failingJoins > 0) {
      group.failingJoins -= 1
      this.failedJoins += 1
      this.engine.note("coordinator", () => `is loading, says no to ${request.memberId || "a new member"}`)
      reply.fail(codes.groupLoadInProgress)
      return
    }
    if (error !== 0) {
      reply.fail(error)
      return
    }
    const [protocol] = request.groupProtocols
    const known = group.members.get(request.memberId)
    if ((request.memberId !== "" && known === undefined) || protocol === undefined) {
      reply.fail(codes.unknownMemberId)
      return
    }
    const member: Member = {
      id: known?.id ?? `member-${++this.memberIds}`,
      sessionTimeout: request.sessionTimeout,
      rebalanceTimeout: request.rebalanceTimeout,
      protocol,
      joining: reply,
      syncing: undefined,
      assignment: known?.assignment,
      expiry: known?.expiry
    }
    known?.joining?.fail(codes.rebalanceInProgress)
    group.members.set(member.id, member)
    this.heard(group, member)
    // a follower that joins again starts no rebalance
    if (known !== undefined && (group.state === "stable" || group.state === "assigning") && group.leader !== known.id) {
      this.answerJoin(group, member)
      return
    }
    this.rebalance(group)
    this.completeJoin(group)
  }

  sync(node: Node, request: SyncRequest, reply: Reply<Synced>): void {
    const group = this.of(request.groupId)
    const member = this.memberOf(group, node, request.memberId, request.generationId, reply)
    if (member === undefined) return
    this.heard(group, member)
    if (group.state === "joining") {
      reply.fail(codes.rebalanceInProgress)
      return
    }
    if (group.state === "stable") {
      reply.succeed({ memberAssignment: member.assignment ?? noAssignment })
      return
    }
    member.syncing = reply
    if (member.id !== group.leader) return
    for (const other of group.members.values()) {
      other.assignment = request.groupAssignment.find(({ memberId }) => memberId === other.id)?.memberAssignment
    }
    group.state = "stable"
    this.rebalances += 1
    this.engine.note("coordinator", () => `group ${group.name} is stable: ${[...group.members.keys()].join(", ")}`)
    for (const other of group.members.values()) {
      other.syncing?.succeed({ memberAssignment: other.assignment ?? noAssignment })
      other.syncing = undefined
    }
  }

  heartbeat(node: Node, request: MemberRequest, reply: Reply<null>): void {
    const group = this.of(request.groupId)
    const member = this.memberOf(group, node, request.memberId, request.groupGenerationId, reply)
    if (member === undefined) return
    this.heard(group, member)
    if (group.state === "joining") reply.fail(codes.rebalanceInProgress)
    else reply.succeed(null)
  }

  leave(node: Node, { groupId, memberId }: Omit<MemberRequest, "groupGenerationId">, reply: Reply<null>): void {
    const group = this.of(groupId)
    const error = this.errorOf(group, node)
    const member = group.members.get(memberId)
    if (error !== 0 || member === undefined) {
      reply.fail(error === 0 ? codes.unknownMemberId : error)
      return
    }
    this.remove(group, member)
    reply.succeed(null)
  }

  commit(
    node: Node,
    request: MemberRequest & { readonly topics: ReadonlyArray<TopicOffsets> },
    reply: Reply<null>
  ): void {
    const group = this.of(request.groupId)
    const member = this.memberOf(group, node, request.memberId, request.groupGenerationId, reply)
    if (member === undefined) return
    if (group.state === "assigning") {
      reply.fail(codes.rebalanceInProgress)
      return
    }
    this.heard(group, member)
    for (const { partitions, topic } of request.topics) {
      for (const { offset, partition } of partitions) group.offsets.set(placeOf(topic, partition), Number(offset))
    }
    this.engine.note("coordinator", () => `${member.id} commits ${JSON.stringify([...group.offsets])}`)
    reply.succeed(null)
  }

  /** Answers the committed offsets, -1 where there is none. */
  committed(node: Node, name: string, topics: ReadonlyArray<TopicOffsets>, reply: Reply<unknown>): void {
    const group = this.of(name)
    const error = this.errorOf(group, node)
    if (error !== 0) {
      reply.fail(error)
      return
    }
    reply.succeed({
      responses: topics.map(({ partitions, topic }) => ({
        topic,
        partitions: partitions.map(({ partition }) => ({
          partition,
          offset: String(group.offsets.get(placeOf(topic, partition)) ?? -1),
          metadata: null,
          errorCode: 0
        }))
      }))
    })
  }

  private of(name: string): Group {
    const found = this.groups.get(name)
    if (found !== undefined) return found
    const made: Group = {
      name,
      state: "empty",
      generation: 0,
      leader: undefined,
      coordinator: 0,
      loadedAt: 0,
      failingJoins: 0,
      members: new Map(),
      offsets: new Map(),
      deadline: undefined
    }
    this.groups.set(name, made)
    return made
  }

  private moveTo(group: Group, node: number, loadingMillis: number): void {
    if (group.coordinator === node) return
    group.coordinator = node
    group.loadedAt = this.engine.now + loadingMillis
    this.engine.note("coordinator", () => `is broker ${node}, loading for ${loadingMillis} ms`)
    for (const member of group.members.values()) {
      // members that wait for an answer get an error and look for the new coordinator
      member.joining?.fail(codes.notCoordinatorForGroup)
      member.syncing?.fail(codes.notCoordinatorForGroup)
      member.joining = undefined
      member.syncing = undefined
      this.heard(group, member)
    }
  }

  private errorOf(group: Group, node: Node): number {
    const isHere = this.coordinatorOf(group.name) === node.id
    if (isHere && this.engine.now >= group.loadedAt) return 0
    this.refusals += 1
    return isHere ? codes.groupLoadInProgress : codes.notCoordinatorForGroup
  }

  private memberOf<A>(group: Group, node: Node, id: string, generation: number, reply: Reply<A>): Member | undefined {
    const error = this.errorOf(group, node)
    const member = group.members.get(id)
    const failure =
      error !== 0
        ? error
        : member === undefined
          ? codes.unknownMemberId
          : generation !== group.generation
            ? codes.illegalGeneration
            : 0
    if (failure !== 0) {
      reply.fail(failure)
      return undefined
    }
    return member
  }

  /** Restarts the member's session timeout. */
  private heard(group: Group, member: Member): void {
    if (member.expiry !== undefined) this.engine.cancel(member.expiry)
    member.expiry = this.engine.after(member.sessionTimeout, undefined, () => {
      if (group.members.get(member.id) !== member) return
      // a member that waits for an answer is alive
      if (member.joining !== undefined || member.syncing !== undefined) {
        this.heard(group, member)
        return
      }
      this.expired += 1
      this.engine.note("coordinator", () => `puts ${member.id} out`)
      this.remove(group, member)
    })
  }

  private remove(group: Group, member: Member): void {
    if (member.expiry !== undefined) this.engine.cancel(member.expiry)
    member.joining?.fail(codes.unknownMemberId)
    member.syncing?.fail(codes.unknownMemberId)
    group.members.delete(member.id)
    if (group.members.size === 0) {
      group.state = "empty"
      group.leader = undefined
      if (group.deadline !== undefined) this.engine.cancel(group.deadline)
      group.deadline = undefined
      return
    }
    if (group.state === "joining") this.completeJoin(group)
    else this.rebalance(group)
  }

  private rebalance(group: Group): void {
    if (group.state === "joining") return
    group.state = "joining"
    for (const member of group.members.values()) {
      member.syncing?.fail(codes.rebalanceInProgress)
      member.syncing = undefined
    }
    const longest = Math.max(...[...group.members.values()].map(({ rebalanceTimeout }) => rebalanceTimeout))
    group.deadline = this.engine.after(longest, undefined, () => {
      if (group.state !== "joining") return
      for (const member of [...group.members.values()]) {
        if (member.joining === undefined) this.remove(group, member)
      }
    })
  }

  /** Completes the rebalance once all members have joined. */
  private completeJoin(group: Group): void {
    if (group.state !== "joining" || group.members.size === 0) return
    const members = [...group.members.values()]
    if (members.some(({ joining }) => joining === undefined)) return
    if (group.deadline !== undefined) this.engine.cancel(group.deadline)
    group.deadline = undefined
    group.generation += 1
    group.state = "assigning"
    if (group.leader === undefined || !group.members.has(group.leader)) group.leader = members[0]?.id
    for (const member of members) this.answerJoin(group, member)
  }

  private answerJoin(group: Group, member: Member): void {
    const { joining } = member
    member.joining = undefined
    this.heard(group, member)
    joining?.succeed({
      generationId: group.generation,
      leaderId: group.leader ?? "",
      memberId: member.id,
      groupProtocol: member.protocol.name,
      members:
        member.id === group.leader
          ? [...group.members.values()].map(({ id, protocol }) => ({ memberId: id, memberMetadata: protocol.metadata }))
          : []
    })
  }
}
