/** `grpc.reflection.v1` and `v1alpha`: describes the services to clients, so that they need no proto files. */
import { type DescFile, type DescMessage, type DescService, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import { Code, type ConnectRouter } from "@connectrpc/connect"
import { ServerReflection, type ServerReflectionRequest } from "./gen/grpc/reflection/v1/reflection_pb.ts"
import { ServerReflection as ServerReflectionAlpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.ts"

/** The two versions of the protocol differ in nothing but their package. */
type Answer =
  | { readonly case: "fileDescriptorResponse"; readonly value: { readonly fileDescriptorProto: Array<Uint8Array> } }
  | {
      readonly case: "allExtensionNumbersResponse"
      readonly value: { readonly baseTypeName: string; readonly extensionNumber: Array<number> }
    }
  | { readonly case: "listServicesResponse"; readonly value: { readonly service: Array<{ readonly name: string }> } }
  | { readonly case: "errorResponse"; readonly value: { readonly errorCode: number; readonly errorMessage: string } }

type Question =
  | {
      readonly case: Exclude<ServerReflectionRequest["messageRequest"]["case"], "fileContainingExtension" | undefined>
      readonly value: string
    }
  | { readonly case: "fileContainingExtension"; readonly value: { readonly containingType: string } }
  | { readonly case: undefined }

interface Asked {
  readonly host: string
  readonly messageRequest: Question
}

const messageNames = (message: DescMessage): ReadonlyArray<string> => [
  message.typeName,
  ...message.fields.map(({ name }) => `${message.typeName}.${name}`),
  ...message.nestedEnums.map(({ typeName }) => typeName),
  ...message.nestedMessages.flatMap(messageNames)
]

const names = (file: DescFile): ReadonlyArray<string> => [
  ...file.messages.flatMap(messageNames),
  ...file.enums.map(({ typeName }) => typeName),
  ...file.services.flatMap(({ methods, typeName }) => [typeName, ...methods.map(({ name }) => `${typeName}.${name}`)])
]

/** A file and everything that it imports, each once, itself first. */
const withImports = (file: DescFile, seen = new Set<DescFile>()): ReadonlyArray<DescFile> => {
  if (seen.has(file)) {
    return []
  }
  seen.add(file)
  return [file, ...file.dependencies.flatMap((dependency) => withImports(dependency, seen))]
}

const notFound = (what: string): Answer => ({
  case: "errorResponse",
  value: { errorCode: Code.NotFound, errorMessage: `no ${what} here` }
})

/** What there is to describe. */
interface Described {
  readonly services: ReadonlyArray<DescService>
  /** By path. */
  readonly files: ReadonlyMap<string, DescFile>
  readonly bySymbol: ReadonlyMap<string, DescFile>
}

export const routes = (services: ReadonlyArray<DescService>): ((router: ConnectRouter) => void) => {
  const described = describe([...services, ServerReflection, ServerReflectionAlpha])

  async function* serverReflectionInfo<Request extends Asked>(requests: AsyncIterable<Request>) {
    for await (const request of requests) {
      const messageResponse = answer(described, request.messageRequest)
      yield { validHost: request.host, originalRequest: request, messageResponse }
    }
  }

  return (router) => {
    router.service(ServerReflection, { serverReflectionInfo })
    router.service(ServerReflectionAlpha, { serverReflectionInfo })
  }
}

const describe = (services: ReadonlyArray<DescService>): Described => {
  const files = new Map(services.flatMap(({ file }) => withImports(file)).map((file) => [`${file.name}.proto`, file]))
  const bySymbol = new Map([...files.values()].flatMap((file) => names(file).map((name) => [name, file] as const)))
  return { services, files, bySymbol }
}

const answer = ({ bySymbol, files, services }: Described, question: Question): Answer => {
  switch (question.case) {
    case "fileByFilename":
      return descriptors(files.get(question.value), `file ${question.value}`)
    case "fileContainingSymbol":
      return descriptors(bySymbol.get(question.value), `symbol ${question.value}`)
    case "allExtensionNumbersOfType":
      return bySymbol.has(question.value)
        ? { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber: [] } }
        : notFound(`type ${question.value}`)
    case "listServices":
      return { case: "listServicesResponse", value: { service: services.map(({ typeName }) => ({ name: typeName })) } }
    case "fileContainingExtension":
      return notFound(`extension of ${question.value.containingType}`)
    case undefined:
      return {
        case: "errorResponse",
        value: { errorCode: Code.InvalidArgument, errorMessage: "the request asks nothing" }
      }
  }
}

/** A file with its imports, so that a client can read it. */
const descriptors = (file: DescFile | undefined, what: string): Answer =>
  file === undefined
    ? notFound(what)
    : {
        case: "fileDescriptorResponse",
        value: { fileDescriptorProto: withImports(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)) }
      }
