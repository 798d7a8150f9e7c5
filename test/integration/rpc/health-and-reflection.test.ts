import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { type Client, status } from '@grpc/grpc-js';
import {
  HealthService,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../src/gen/grpc/health/v1/health.ts';
import {
  ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../../src/gen/grpc/reflection/v1/reflection.ts';
import { ServerReflectionService as Alpha } from '../../../src/gen/grpc/reflection/v1alpha/reflection.ts';
import { SERVED_SERVICES } from '../../fixtures/served-services.ts';
import { RpcHarness } from './rpc-harness.ts';

let harness: RpcHarness;
let raw: Client;
before(async () => {
  harness = await RpcHarness.start();
  raw = harness.clients().raw;
});
after(() => harness[Symbol.asyncDispose]());

/** A call's answers, each as it comes; the call is ended with it. */
async function* ask(
  method: (typeof HealthService)[keyof typeof HealthService],
  request: object,
): AsyncGenerator<any> {
  const call = raw.makeServerStreamRequest<any, any>(
    method.path,
    method.requestSerialize as (request: any) => Buffer,
    method.responseDeserialize,
    request,
  );
  call.on('error', () => undefined);
  try {
    yield* call;
  } finally {
    call.cancel();
  }
}

test('health follows readiness, overall and by service', async () => {
  for (const service of ['', 'novacron.agent.v1.VirtualMachineService']) {
    harness.server.setReady(false);
    const watch = ask(HealthService.watch, { service });
    for (const [isReady, wanted] of [
      [false, Serving.NOT_SERVING],
      [true, Serving.SERVING],
      [false, Serving.NOT_SERVING],
    ] as const) {
      harness.server.setReady(isReady);
      assert.deepEqual((await ask(HealthService.check, { service }).next()).value, {
        status: wanted,
      });
      assert.deepEqual((await watch.next()).value, { status: wanted });
      const { value } = await ask(HealthService.list, {}).next();
      assert.deepEqual(value.statuses[service], { status: wanted });
    }
    await watch.return(undefined);
  }
});

test('the health of a service that is not there is unknown to watchers, and an error to others', async () => {
  await assert.rejects(ask(HealthService.check, { service: 'nobodys.Service' }).next(), {
    code: status.NOT_FOUND,
    details: /There is no service nobodys.Service; those of this agent are novacron/,
  });
  const watch = ask(HealthService.watch, { service: 'nobodys.Service' });
  assert.deepEqual((await watch.next()).value, { status: Serving.SERVICE_UNKNOWN });
  await watch.return(undefined);
});

/** Each file after those that it imports, as a registry wants them. Fails if one of them is not there. */
function inOrder(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const ordered = new Set<FileDescriptorProto>();
  const add = (file: FileDescriptorProto): void => {
    for (const name of file.dependency) {
      const imported = files.find((candidate) => candidate.name === name);
      assert.ok(imported, `${file.name} imports ${name}, which is not there`);
      add(imported);
    }
    ordered.add(file);
  };
  for (const file of files) add(file);
  return [...ordered];
}

type Asked = ServerReflectionRequest['messageRequest'];
type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** A stream of questions and answers. */
class Reflection implements Disposable {
  readonly #call;

  constructor(path: string) {
    const { requestSerialize, responseDeserialize } = ServerReflectionService.serverReflectionInfo;
    this.#call = raw.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.#call.on('error', () => undefined);
  }

  async ask(messageRequest: Asked): Promise<Answer> {
    const answer = once(this.#call, 'data');
    const request = ServerReflectionRequest.create({ host: 'here', messageRequest });
    this.#call.write(request);
    const [response] = (await answer) as [ServerReflectionResponse];
    assert.equal(response.validHost, 'here');
    assert.deepEqual(response.originalRequest, request);
    assert.ok(response.messageResponse);
    return response.messageResponse;
  }

  [Symbol.dispose](): void {
    this.#call.cancel();
  }
}

const NOT_THERE: readonly Asked[] = [
  { $case: 'fileByFilename', value: '../../etc/passwd' },
  { $case: 'fileContainingSymbol', value: 'novacron.agent.v1.VirtualMachineService.Nothing' },
  { $case: 'fileContainingSymbol', value: '' },
  {
    $case: 'fileContainingExtension',
    value: { containingType: 'novacron.agent.v1.VirtualMachine', extensionNumber: 1 },
  },
  { $case: 'allExtensionNumbersOfType', value: 'nobodys.Message' },
];

for (const { path } of [ServerReflectionService, Alpha].map((one) => one.serverReflectionInfo)) {
  test(`reflection by ${path} lists all services and has their files`, async () => {
    using reflection = new Reflection(path);
    const list = await reflection.ask({ $case: 'listServices', value: '' });
    assert.ok(list.$case === 'listServicesResponse');
    assert.deepEqual(
      list.value.service.map(({ name }) => name),
      SERVED_SERVICES,
    );
    for (const symbol of [
      ...list.value.service.map(({ name }) => name),
      'novacron.agent.v1.VirtualMachineService.CreateVirtualMachine',
      'novacron.agent.v1.VirtualMachine.status',
      'novacron.agent.v1.MIGRATION_PHASE_COPYING',
      'grpc.health.v1.HealthCheckResponse.ServingStatus',
      'google.rpc.ErrorInfo',
      'google.rpc.BadRequest.FieldViolation',
      'google.protobuf.FieldMask',
      'google.protobuf.Struct',
    ]) {
      const answer = await reflection.ask({ $case: 'fileContainingSymbol', value: symbol });
      assert.ok(answer.$case === 'fileDescriptorResponse', symbol);
      const files = answer.value.fileDescriptorProto;
      const file = inOrder(files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)));
      // As strict as grpcurl: every file, type and import must be there under its full name.
      createFileRegistry(create(FileDescriptorSetSchema, { file }));
    }
    const value = 'novacron.agent.v1.VirtualMachine';
    assert.deepEqual(await reflection.ask({ $case: 'allExtensionNumbersOfType', value }), {
      $case: 'allExtensionNumbersResponse',
      value: { baseTypeName: value, extensionNumber: [] },
    });
    for (const asked of NOT_THERE) {
      const answer = await reflection.ask(asked);
      assert.ok(answer.$case === 'errorResponse', JSON.stringify(answer));
      assert.equal(answer.value.errorCode, status.NOT_FOUND);
    }
    const nothing = await reflection.ask(undefined);
    assert.ok(nothing.$case === 'errorResponse');
    assert.equal(nothing.value.errorCode, status.INVALID_ARGUMENT);
  });
}
