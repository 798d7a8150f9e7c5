import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { type Client, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';
import { RpcHarness } from './rpc-harness.ts';

let harness: RpcHarness;
let raw: Client;
before(async () => {
  harness = await RpcHarness.start();
  raw = harness.clients().raw;
});
after(() => harness[Symbol.asyncDispose]());

type Method = (typeof healthService)[string];

async function ask(method: Method | undefined, request: object): Promise<unknown> {
  assert.ok(method);
  const call = raw.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
  );
  call.on('error', () => undefined);
  const [answer] = await once(call, 'data');
  call.cancel();
  return answer;
}

test('health follows readiness, overall and by service', async () => {
  for (const service of ['', 'novacron.agent.v1.VirtualMachineService']) {
    harness.server.setReady(false);
    assert.deepEqual(await ask(healthService['Check'], { service }), { status: 'NOT_SERVING' });
    harness.server.setReady(true);
    assert.deepEqual(await ask(healthService['Check'], { service }), { status: 'SERVING' });
    assert.deepEqual(await ask(healthService['Watch'], { service }), { status: 'SERVING' });
  }
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

test('reflection lists our services and has their files', async () => {
  const { createRequire } = await import('node:module');
  const path = createRequire(import.meta.url).resolve('@grpc/reflection');
  const file = path.replace(
    /build\/src\/index\.js$/,
    'build/proto/grpc/reflection/v1/reflection.proto',
  );
  const definition = loadPackageDefinition(loadSync(file, { oneofs: true }));
  const { ServerReflection } = (definition as any).grpc.reflection.v1;
  const {
    path: method,
    requestSerialize,
    responseDeserialize,
  } = ServerReflection.service.ServerReflectionInfo;
  const call = raw.makeBidiStreamRequest(method, requestSerialize, responseDeserialize);
  call.on('error', () => undefined);
  const next = async (request: object) => {
    const answer = once(call, 'data');
    call.write(request);
    return (await answer)[0];
  };
  const { listServicesResponse } = await next({ listServices: '' });
  assert.deepEqual(
    listServicesResponse.service.map(({ name }: { name: string }) => name).toSorted(),
    [
      'novacron.agent.v1.MigrationService',
      'novacron.agent.v1.NodeService',
      'novacron.agent.v1.OperationService',
      'novacron.agent.v1.VirtualMachineService',
      'novacron.peer.v1.PeerService',
    ],
  );
  for (const fileContainingSymbol of [
    'novacron.agent.v1.VirtualMachineService.CreateVirtualMachine',
    'novacron.peer.v1.PeerService',
    'google.protobuf.FieldMask',
    'google.protobuf.Struct',
  ]) {
    const { fileDescriptorResponse } = await next({ fileContainingSymbol });
    const files: Buffer[] = fileDescriptorResponse.fileDescriptorProto;
    const file = inOrder(files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)));
    // As strict as grpcurl: every file, type and import must be there under its full name.
    createFileRegistry(create(FileDescriptorSetSchema, { file }));
  }
  const unknown = await next({ fileByFilename: '../../etc/passwd' });
  assert.ok(unknown.errorResponse);
  call.cancel();
});
