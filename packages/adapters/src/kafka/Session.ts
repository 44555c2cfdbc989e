import type { Subscription } from "@invoice/core/ports/MessageConsumer"
import { Deferred, type Duration, Effect, Exit, Fiber, type Queue, Schedule } from "effect"
import { roundRobinAfter } from "./Assigner.ts"
import { call, millis } from "./Client.ts"
import type { ConsumerClient, KafkaClient } from "./KafkaClient.ts"
import type { Resolved } from "./KafkaConsumer.ts"
import { KafkaFailure } from "./KafkaFailure.ts"
import { type Delivery, Membership } from "./Membership.ts"
import { Offsets } from "./Offsets.ts"
import { ensure } from "./Topics.ts"

/**
 * One membership of the group, from joining to a crash; it never succeeds. When interrupted it commits what is
 * acknowledged, gives back the rest and leaves the group.
 */
export const session = (
  kafka: KafkaClient,
  { topic, group }: Subscription,
  options: Resolved,
  queue: Queue.Enqueue<Delivery>
): Effect.Effect<never, KafkaFailure> =>
  Effect.gen(function* () {
    yield* ensure(kafka, [topic], options)
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const heartbeatInterval = options.heartbeatInterval ?? "1 second"
    const drainTimeout = options.drainTimeout ?? "10 seconds"
    const offsets = new Offsets(topic)
    const commit = call(() => offsets.commit(consumer))
    const membership = new Membership({
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
      patience: options.patience ?? "100 millis",
      heartbeatInterval,
      drainTimeout
    })

    const consumer: ConsumerClient = yield* Effect.try({
      try: () =>
        kafka.consumer({
          groupId: group,
          partitionAssigners: [roundRobinAfter(() => run(membership.settle))],
          sessionTimeout: millis(options.sessionTimeout),
          heartbeatInterval: millis(heartbeatInterval),
          maxWaitTimeInMs: millis(options.maxWait ?? "100 millis"),
          allowAutoTopicCreation: false,
          // a session of ours takes its place, with a new connection
          retry: { restartOnFailure: async () => false }
        }),
      catch: (cause) => new KafkaFailure({ type: "INVALID_CONFIG", cause })
    })
    const crashed = yield* Deferred.make<never, KafkaFailure>()
    consumer.on("consumer.group_join", () => membership.joined())
    consumer.on("consumer.end_batch_process", ({ payload }) => {
      if (payload.batchSize === 0) membership.passedOver(payload)
    })
    consumer.on("consumer.crash", ({ payload }) => {
      Deferred.doneUnsafe(crashed, Exit.fail(KafkaFailure.from(payload.error)))
    })

    const start = async (): Promise<void> => {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: options.concurrency ?? 3,
        eachBatch: (payload) => run(membership.handle(payload))
      })
    }

    // joining can't be called off: a member that vanishes halfway holds up its group until the session times out
    const started = yield* Effect.forkDetach(call(start))
    const leave = [Fiber.await(started), commit, call(() => consumer.disconnect())]
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        membership.end,
        Effect.forEach(leave, (step) => bounded(step, drainTimeout), { discard: true })
      )
    )
    yield* Effect.forkScoped(
      Effect.repeat(Effect.ignore(commit), Schedule.spaced(options.commitInterval ?? "500 millis"))
    )
    return yield* Effect.raceFirst(Deferred.await(crashed), Effect.andThen(Fiber.join(started), Effect.never))
  }).pipe(Effect.scoped)

/** kafkajs throws when it has stopped; nothing is fetched then. */
const whileRunning = (act: () => void): void => {
  try {
    act()
  } catch {}
}

/** A broker that does not answer must not keep a program from ending. */
const bounded = (step: Effect.Effect<unknown, KafkaFailure>, timeout: Duration.Input): Effect.Effect<void> =>
  // finalizers are not interruptible unless they say so
  Effect.ignore(Effect.timeout(Effect.interruptible(step), timeout))
