import type { Subscription } from "@invoice/core/ports/MessageConsumer"
import { Cause, Clock, Deferred, type Duration, Effect, Exit, Fiber, type Queue, Schedule } from "effect"
import type { EachBatchPayload } from "kafkajs"
import { type Joins, roundRobinWatching } from "./Assigner.ts"
import { bounded, call, millis } from "./Client.ts"
import type { Resolved } from "./ConsumerOptions.ts"
import type { Delivery } from "./Delivery.ts"
import { GroupMember } from "./GroupMember.ts"
import type { ConsumerClient, KafkaClient } from "./KafkaClient.ts"
import { KafkaFailure } from "./KafkaFailure.ts"
import { Liveness } from "./Liveness.ts"
import { Offsets } from "./Offsets.ts"
import { ensure } from "./Topics.ts"

/**
 * A group session: one group member, from joining until it fails or is interrupted; it never succeeds. When interrupted
 * it commits the acknowledged offsets, gives back the other batches and leaves the group.
 *
 * It fails when kafkajs crashes, when an attempt to join fails, when a request is not answered in time, and when it
 * neither fetched nor joined for {@link stallMillis}. The caller then begins another session, which has new
 * connections.
 */
export const session = (
  kafka: KafkaClient,
  subscription: Subscription,
  options: Resolved,
  queue: Queue.Enqueue<Delivery>
): Effect.Effect<never, KafkaFailure> =>
  Effect.gen(function* () {
    yield* ensure(kafka, [subscription.topic], options)
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const liveness = new Liveness(yield* Clock.Clock, "neither fetched nor joined")
    const ended = yield* Deferred.make<never, KafkaFailure>()
    const end = (failure: KafkaFailure): void => {
      Deferred.doneUnsafe(ended, Exit.fail(failure))
    }
    const membership = yield* makeMember({ kafka, subscription, options, queue, run, end })
    const { commit, consumer, member } = membership
    listen(consumer, { member, liveness, end })

    const eachBatch = (payload: EachBatchPayload): Promise<void> => run(member.handle(payload))
    // a join is not cancelled: a member that vanishes halfway holds up its group until its session times out
    const started = yield* Effect.forkDetach(call(() => start(consumer, subscription.topic, options, eachBatch)))
    yield* Effect.addFinalizer((exit) => leave(membership, Fiber.await(started), longestStep(options, exit)))
    yield* Effect.forkScoped(
      Effect.repeat(Effect.ignore(commit), Schedule.spaced(options.commitInterval ?? "500 millis"))
    )
    return yield* Effect.raceAllFirst([
      Deferred.await(ended),
      liveness.watch(stallMillis(options)),
      Effect.andThen(Fiber.join(started), Effect.never)
    ])
  }).pipe(Effect.scoped)

interface Session {
  readonly kafka: KafkaClient
  readonly subscription: Subscription
  readonly options: Resolved
  readonly queue: Queue.Enqueue<Delivery>
  readonly run: (effect: Effect.Effect<void>) => Promise<void>
  /** Ends the session with a failure. */
  readonly end: (failure: KafkaFailure) => void
}

interface Membership {
  readonly consumer: ConsumerClient
  readonly member: GroupMember
  /** Commits the acknowledged offsets. */
  readonly commit: Effect.Effect<void, KafkaFailure>
  readonly disconnect: Effect.Effect<void, KafkaFailure>
}

/** The member and its consumer: each calls the other, so they are made together. */
const makeMember = Effect.fnUntraced(function* ({
  end,
  kafka,
  options,
  queue,
  run,
  subscription: { group, topic }
}: Session): Effect.fn.Return<Membership, KafkaFailure> {
  const offsets = new Offsets(topic)
  const commit = call(() => offsets.commit(consumer))
  const member = new GroupMember({
    topic,
    queue,
    offsets,
    commit,
    fetching: {
      pause: (partition) => whileRunning(() => consumer.pause([{ topic, partitions: [partition] }])),
      resume: (partition) => whileRunning(() => consumer.resume([{ topic, partitions: [partition] }])),
      seek: (partition, offset) => whileRunning(() => consumer.seek({ topic, partition, offset }))
    },
    maxBatch: options.maxBatch ?? 500,
    setAsideAfter: options.setAsideAfter ?? "100 millis",
    heartbeatInterval: options.heartbeatInterval,
    drainTimeout: options.drainTimeout
  })
  let isStopping = false
  const consumer: ConsumerClient = yield* makeConsumer(kafka, group, options, {
    prepare: () => run(member.settle),
    failed: end,
    isJoining: () => member.isJoining,
    isStopping: () => isStopping
  })
  const disconnect = call(() => {
    isStopping = true
    return consumer.disconnect()
  })
  return { consumer, member, commit, disconnect }
})

const makeConsumer = (
  kafka: KafkaClient,
  group: string,
  options: Resolved,
  joins: Joins
): Effect.Effect<ConsumerClient, KafkaFailure> =>
  Effect.try({
    try: () =>
      kafka.consumer({
        groupId: group,
        partitionAssigners: [roundRobinWatching(joins)],
        sessionTimeout: millis(options.sessionTimeout),
        rebalanceTimeout: rebalanceMillis(options),
        heartbeatInterval: millis(options.heartbeatInterval),
        maxWaitTimeInMs: millis(options.maxWait ?? "100 millis"),
        allowAutoTopicCreation: false,
        // a new session takes its place, with a new connection
        retry: { restartOnFailure: async () => false }
      }),
    catch: (cause) => new KafkaFailure({ type: "INVALID_CONFIG", cause })
  })

/** How long a failed session spends at most on each step of leaving, in milliseconds. */
const leaveMillis = 3_000

/** After a failure the next session matters more, and the steps of leaving may use the dead connection. */
const longestStep = ({ drainTimeout }: Resolved, exit: Exit.Exit<unknown, unknown>): Duration.Input =>
  Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
    ? Math.min(millis(drainTimeout), leaveMillis)
    : drainTimeout

/** Gives back the batches in hand, commits and leaves the group; each step may take as long as `longest`. */
const leave = (
  { commit, disconnect, member }: Membership,
  started: Effect.Effect<unknown>,
  longest: Duration.Input
): Effect.Effect<void> =>
  Effect.andThen(
    member.end,
    Effect.forEach([started, commit, disconnect], (step) => bounded(step, longest), { discard: true })
  )

/**
 * How long the group waits for its members to join again, in milliseconds: a member learns of the rebalance with its
 * next heartbeat, may finish its batches in hand, and may then commit them.
 */
const rebalanceMillis = ({ drainTimeout, sessionTimeout }: Resolved): number =>
  2 * millis(drainTimeout) + millis(sessionTimeout)

/** How long finishing, joining and waiting for the group's leader may take together, in milliseconds; default 65 s. */
const stallMillis = (options: Resolved): number => 2 * rebalanceMillis(options) + 5_000

interface Listening {
  readonly member: GroupMember
  readonly liveness: Liveness
  readonly end: (failure: KafkaFailure) => void
}

const listen = (consumer: ConsumerClient, { end, liveness, member }: Listening): void => {
  consumer.on("consumer.group_join", () => {
    liveness.sign()
    member.joined()
  })
  consumer.on("consumer.fetch", () => {
    // kafkajs goes on fetching during a join and after a failed join, although nothing is handed out then
    if (!member.isJoining) liveness.sign()
  })
  consumer.on("consumer.end_batch_process", ({ payload }) => {
    if (payload.batchSize === 0) member.passedOver(payload)
  })
  // kafkajs would go on with a connection that may be dead
  consumer.on("consumer.network.request_timeout", ({ payload: { apiName, broker } }) =>
    end(new KafkaFailure({ type: "UNANSWERED", cause: new Error(`${broker} did not answer ${apiName} in time`) }))
  )
  consumer.on("consumer.crash", ({ payload }) => end(KafkaFailure.from(payload.error)))
}

const start = async (
  consumer: ConsumerClient,
  topic: string,
  { concurrency = 3 }: Resolved,
  eachBatch: (payload: EachBatchPayload) => Promise<void>
): Promise<void> => {
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: concurrency,
    eachBatch
  })
}

/** kafkajs throws when it has stopped; nothing is fetched then. */
const whileRunning = (act: () => void): void => {
  try {
    act()
  } catch {}
}
