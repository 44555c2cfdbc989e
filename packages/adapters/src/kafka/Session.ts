import type { MessageBatch, Subscription } from "@invoice/core/ports/MessageConsumer"
import { Deferred, Effect, Exit, Fiber, Queue, Schedule } from "effect"
import type { Consumer, EachBatchPayload, Kafka, KafkaMessage } from "kafkajs"
import { call, millis } from "./Client.ts"
import type { Options } from "./KafkaConsumer.ts"
import { KafkaFailure } from "./KafkaFailure.ts"
import { Offsets } from "./Offsets.ts"
import { incoming } from "./Records.ts"
import { ensure } from "./Topics.ts"

/** A batch on its way to the subscriber. */
export interface Delivery {
  readonly batch: MessageBatch
  /** False once the batch is given back: its acknowledgement does nothing then. */
  readonly isHeld: () => boolean
}

const chunksOf = (messages: ReadonlyArray<KafkaMessage>, size: number): ReadonlyArray<ReadonlyArray<KafkaMessage>> =>
  Array.from({ length: Math.ceil(messages.length / size) }, (_, index) =>
    messages.slice(index * size, (index + 1) * size)
  )

/**
 * One membership of the group, from joining to a crash; it never succeeds. When interrupted it commits what is
 * acknowledged, gives back the rest and leaves the group.
 */
export const session = (
  kafka: Kafka,
  { topic, group }: Subscription,
  options: Options,
  queue: Queue.Enqueue<Delivery>
): Effect.Effect<never, KafkaFailure> => {
  const maxBatch = options.maxBatch ?? 500
  const heartbeatInterval = options.heartbeatInterval ?? "1 second"
  const drainTimeout = options.drainTimeout ?? "10 seconds"

  return Effect.gen(function* () {
    yield* ensure(kafka, [topic], options)
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const crashed = yield* Deferred.make<never, KafkaFailure>()
    const ending = yield* Deferred.make<void>()
    const consumer = yield* Effect.try({
      try: () =>
        kafka.consumer({
          groupId: group,
          sessionTimeout: millis(options.sessionTimeout ?? "30 seconds"),
          heartbeatInterval: millis(heartbeatInterval),
          maxWaitTimeInMs: millis(options.maxWait ?? "100 millis"),
          allowAutoTopicCreation: false,
          // a session of ours takes its place, with a new connection
          retry: { restartOnFailure: async () => false }
        }),
      catch: (cause) => new KafkaFailure({ type: "INVALID_CONFIG", cause })
    })
    const offsets = new Offsets(consumer, topic)
    const commit = call(() => offsets.commit())
    // counts the assignments of partitions
    let generation = 0
    // set while the group waits for this member to join again: nothing new is handed out
    let rebalance: KafkaFailure | undefined

    consumer.on(consumer.events.GROUP_JOIN, () => {
      generation += 1
      rebalance = undefined
      offsets.forget()
    })
    // kafkajs joins again right after this event; a commit that is sent now arrives before
    consumer.on(consumer.events.REBALANCING, () => run(Effect.ignore(commit)))
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      Deferred.doneUnsafe(crashed, Exit.fail(KafkaFailure.from(payload.error)))
    })

    /** Hands one batch out and waits until it is acknowledged; false when it is given back instead. */
    const handOut = (
      payload: EachBatchPayload,
      messages: ReadonlyArray<KafkaMessage>,
      last: string
    ): Effect.Effect<boolean, KafkaFailure> =>
      Effect.suspend(() => {
        if (rebalance !== undefined) return Effect.fail(rebalance)
        const { partition } = payload.batch
        const joined = generation
        const acknowledged = Deferred.makeUnsafe<boolean>()
        let open = true
        const isHeld = () =>
          open && generation === joined && payload.isRunning() && !payload.isStale() && !Deferred.isDoneUnsafe(ending)
        Queue.offerUnsafe(queue, {
          isHeld,
          batch: {
            topic,
            partition,
            messages: messages.map((message) => incoming(topic, message)),
            acknowledge: Effect.sync(() => {
              if (!open || generation !== joined) return
              open = false
              payload.resolveOffset(last)
              offsets.acknowledge(partition, last)
              Deferred.doneUnsafe(acknowledged, Exit.succeed(true))
            })
          }
        })

        const done = Effect.raceFirst(Deferred.await(acknowledged), Effect.as(Deferred.await(ending), false))
        const heartbeat = call(() => payload.heartbeat())

        // finishes what is in hand, in bounded time; a heartbeat keeps the membership though it reports the rebalance
        const drain = (failure: KafkaFailure): Effect.Effect<never, KafkaFailure> => {
          rebalance = failure
          const alive = Effect.forever(Effect.delay(Effect.ignore(heartbeat), heartbeatInterval))
          return Effect.raceFirst(Effect.timeoutOption(done, drainTimeout), alive).pipe(
            Effect.andThen(Effect.ignore(commit)),
            Effect.andThen(Effect.fail(failure))
          )
        }

        const wait: Effect.Effect<boolean, KafkaFailure> = Effect.timeoutOption(done, heartbeatInterval).pipe(
          Effect.tap(() => Effect.catch(heartbeat, (failure) => (failure.rebalances ? drain(failure) : failure))),
          Effect.flatMap((result) =>
            result._tag === "Some" ? Effect.succeed(result.value) : isHeld() ? wait : Effect.succeed(false)
          )
        )
        return Effect.ensuring(
          wait,
          Effect.sync(() => {
            open = false
          })
        )
      })

    const eachBatch = (payload: EachBatchPayload): Promise<void> => {
      const chunks = chunksOf(payload.batch.messages, maxBatch)
      return run(
        Effect.gen(function* () {
          for (const [index, chunk] of chunks.entries()) {
            // the end of a fetch may be records that only Kafka sees (transaction markers)
            const last = index === chunks.length - 1 ? payload.batch.lastOffset() : chunk.at(-1)?.offset
            if (last === undefined || !(yield* handOut(payload, chunk, last))) return
          }
        }).pipe(
          // kafkajs tells errors apart by its own classes
          Effect.mapError((failure) => failure.cause)
        )
      )
    }

    const start = async (): Promise<void> => {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: options.concurrency ?? 3,
        eachBatch
      })
    }

    // joining can't be called off: a member that vanishes halfway holds up its group until the session times out
    const started = yield* Effect.forkDetach(call(start))
    yield* Effect.addFinalizer(() => end(consumer, ending, started, commit, drainTimeout))
    yield* Effect.forkScoped(
      Effect.repeat(Effect.ignore(commit), Schedule.spaced(options.commitInterval ?? "500 millis"))
    )
    return yield* Effect.raceFirst(Deferred.await(crashed), Effect.andThen(Fiber.join(started), Effect.never))
  }).pipe(Effect.scoped)
}

/** Every step is bounded: a broker that does not answer must not keep a program from ending. */
const end = (
  consumer: Consumer,
  ending: Deferred.Deferred<void>,
  started: Fiber.Fiber<void, KafkaFailure>,
  commit: Effect.Effect<void, KafkaFailure>,
  timeout: NonNullable<Options["drainTimeout"]>
): Effect.Effect<void> => {
  const within = (step: Effect.Effect<unknown, KafkaFailure>) =>
    // finalizers are not interruptible unless they say so
    Effect.ignore(Effect.timeout(Effect.interruptible(step), timeout))
  return Deferred.succeed(ending, undefined).pipe(
    Effect.andThen(within(Fiber.await(started))),
    Effect.andThen(within(commit)),
    Effect.andThen(within(call(() => consumer.disconnect())))
  )
}
