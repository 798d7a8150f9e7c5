import { once } from 'node:events';
import { type Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { DescribedFile } from '../../gen/file-descriptors.ts';
import {
  type ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionService,
} from '../../gen/grpc/reflection/v1/reflection.ts';

type Call = ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;
type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** The version of the protocol before it was final, which has the same messages. */
const V1ALPHA = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';

/**
 * Lets callers such as grpcurl learn the API, with all that it imports, and the details of its errors:
 * https://github.com/grpc/grpc/blob/master/doc/server-reflection.md.
 */
export function addReflection(server: Pick<Server, 'addService'>): void {
  const { serverReflectionInfo } = ServerReflectionService;
  for (const path of [serverReflectionInfo.path, V1ALPHA]) {
    server.addService(
      { serverReflectionInfo: { ...serverReflectionInfo, path } },
      { serverReflectionInfo: (call: Call) => void serve(call) },
    );
  }
}

/** Never fails: a stream that breaks has been told so by the gRPC library. */
async function serve(call: Call): Promise<void> {
  try {
    // Read from the disk by the first that asks: most agents are never asked.
    const { DESCRIBED_FILES } = await import('../../gen/file-descriptors.ts');
    const descriptions = new Descriptions(DESCRIBED_FILES);
    for await (const request of call as AsyncIterable<ServerReflectionRequest>) {
      const response = ServerReflectionResponse.create({
        validHost: request.host,
        originalRequest: request,
        messageResponse: descriptions.answer(request),
      });
      if (!call.write(response)) await once(call, 'drain');
    }
    call.end();
  } catch {
    call.destroy();
  }
}

class Descriptions {
  readonly #files: ReadonlyMap<string, DescribedFile>;

  constructor(files: readonly DescribedFile[]) {
    this.#files = new Map(files.map((file) => [file.name, file]));
  }

  answer({ messageRequest }: ServerReflectionRequest): Answer {
    switch (messageRequest?.$case) {
      case 'listServices': {
        const names = [...this.#files.values()].flatMap(({ services }) => services);
        const service = names.toSorted().map((name) => ({ name }));
        return { $case: 'listServicesResponse', value: { service } };
      }
      case 'fileByFilename':
        return this.#withImports(this.#files.get(messageRequest.value), messageRequest.value);
      case 'fileContainingSymbol':
        return this.#withImports(this.#declaring(messageRequest.value), messageRequest.value);
      case 'allExtensionNumbersOfType': {
        const baseTypeName = messageRequest.value;
        if (this.#declaring(baseTypeName) === undefined) return notFound(baseTypeName);
        // The API extends nothing.
        const value = { baseTypeName, extensionNumber: [] };
        return { $case: 'allExtensionNumbersResponse', value };
      }
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = messageRequest.value;
        return notFound(`extension ${extensionNumber} of ${containingType}`);
      }
      default:
        return failure(status.INVALID_ARGUMENT, 'The request asks for nothing that is known here');
    }
  }

  #declaring(symbol: string): DescribedFile | undefined {
    return [...this.#files.values()].find(({ symbols }) => symbols.split(' ').includes(symbol));
  }

  #withImports(file: DescribedFile | undefined, wanted: string): Answer {
    if (file === undefined) return notFound(wanted);
    const found = new Set<DescribedFile>();
    const add = (one: DescribedFile): void => {
      if (found.has(one)) return;
      found.add(one);
      for (const name of one.imports) add(this.#files.get(name) ?? one);
    };
    add(file);
    const fileDescriptorProto = [...found].map(({ bytes }) => Buffer.from(bytes, 'base64'));
    return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
  }
}

function notFound(what: string): Answer {
  return failure(status.NOT_FOUND, `${what} is not of this API`);
}

function failure(errorCode: status, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
