import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { loadSync } from '@grpc/proto-loader';
import { authorize, METHOD_RULES } from '../../../../src/agent/rpc/authorization.ts';
import { LOCAL_CALLER, type Role } from '../../../../src/agent/rpc/identity.ts';
import { hasReason } from '../../../../src/core/errors.ts';
import { HealthService } from '../../../../src/gen/grpc/health/v1/health.ts';
import { ServerReflectionService } from '../../../../src/gen/grpc/reflection/v1/reflection.ts';
import { ServerReflectionService as ServerReflectionAlpha } from '../../../../src/gen/grpc/reflection/v1alpha/reflection.ts';
import { ConsoleServiceService } from '../../../../src/gen/novacron/agent/v1/console.ts';
import { EventServiceService } from '../../../../src/gen/novacron/agent/v1/event.ts';
import { GuestServiceService } from '../../../../src/gen/novacron/agent/v1/guest.ts';
import { ImageServiceService } from '../../../../src/gen/novacron/agent/v1/image.ts';
import { MigrationServiceService } from '../../../../src/gen/novacron/agent/v1/migration.ts';
import { NodeServiceService } from '../../../../src/gen/novacron/agent/v1/node.ts';
import { OperationServiceService } from '../../../../src/gen/novacron/agent/v1/operation.ts';
import { VirtualMachineServiceService } from '../../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { PeerServiceService } from '../../../../src/gen/novacron/peer/v1/peer.ts';

const OURS = [
  VirtualMachineServiceService,
  ConsoleServiceService,
  GuestServiceService,
  MigrationServiceService,
  EventServiceService,
  ImageServiceService,
  NodeServiceService,
  OperationServiceService,
  PeerServiceService,
];

test('every method has an entry, and every entry a method', () => {
  const served: string[] = [
    ...OURS.flatMap((service) => Object.values(service).map(({ path }) => path)),
    ...[HealthService, ServerReflectionService, ServerReflectionAlpha].flatMap((service) =>
      Object.values(service).map(({ path }) => path),
    ),
  ];
  assert.deepEqual(Object.keys(METHOD_RULES).toSorted(), served.toSorted());
});

test('every proto service of ours is in that comparison', () => {
  const definition = loadSync(
    [
      'agent/v1/virtual_machine',
      'agent/v1/console',
      'agent/v1/guest',
      'agent/v1/event',
      'agent/v1/image',
      'agent/v1/migration',
      'agent/v1/node',
      'agent/v1/operation',
      'peer/v1/peer',
    ].map((name) => `novacron/${name}.proto`),
    { includeDirs: ['proto'] },
  );
  const services = Object.entries(definition).filter(([, type]) => !('format' in type));
  assert.equal(services.length, OURS.length);
});

test('a method that is not listed is refused to everybody', () => {
  for (const method of [
    '',
    '/',
    '__proto__',
    'constructor',
    '/novacron.agent.v1.NodeService/getNode',
  ]) {
    for (const role of ['controller', 'operator', 'viewer', 'peer'] as const satisfies Role[]) {
      assert.throws(
        () => authorize(method, { ...LOCAL_CALLER, role }),
        (error) => hasReason(error, 'PERMISSION_DENIED'),
      );
    }
  }
});

test('viewers change nothing and see no console', () => {
  for (const [method, { roles, changes }] of Object.entries(METHOD_RULES)) {
    if (changes || /\/Get(ConsoleLog|Screenshot)$/.test(method))
      assert.ok(!roles.includes('viewer'), method);
  }
});

test('peers reach PeerService and health only, and nobody else reaches PeerService', () => {
  for (const [method, { roles }] of Object.entries(METHOD_RULES)) {
    if (method.includes('.PeerService/')) assert.deepEqual(roles, ['peer']);
    else assert.equal(roles.includes('peer'), method.startsWith('/grpc.health.v1.'), method);
  }
});

test('every call that changes something is an operation, or docs/decisions/0014 says why it is none', () => {
  const text = readFileSync('docs/decisions/0014-what-is-an-operation.md', 'utf8');
  const table = text.split('\n').filter((line) => line.startsWith('|'));
  const named = table.flatMap((line) => line.split('|')[1]?.match(/(?<=`)[A-Za-z]+(?=`)/g) ?? []);
  const changing = Object.entries(METHOD_RULES)
    .filter(([, { changes }]) => changes)
    .map(([method]) => path.basename(method));
  assert.deepEqual(named.toSorted(), changing.toSorted());
});
