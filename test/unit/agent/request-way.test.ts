import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallContext } from '../../../src/agent/rpc/call-context.ts';
import { LOCAL_CALLER } from '../../../src/agent/rpc/identity.ts';
import { migrationHandlers } from '../../../src/agent/rpc/migration-handlers.ts';
import { toVirtualMachine } from '../../../src/agent/rpc/virtual-machine-conversion.ts';
import { virtualMachineHandlers } from '../../../src/agent/rpc/virtual-machine-handlers.ts';
import { MigrationSpec } from '../../../src/gen/novacron/agent/v1/migration.ts';
import { TwoNodes } from './migration/two-nodes.ts';
import { filesOf, stepsBack, type Way, WayRecorder } from './request-way.ts';
import { newRequest, OneNode } from './vms/one-node.ts';

const MAX_FILES = 9;

function newContext(): CallContext {
  return {
    caller: LOCAL_CALLER,
    requestId: 'r-1',
    signal: new AbortController().signal,
    about() {},
  };
}

/** Short, and without a call that comes back into a file that it has passed. */
function assertStraight(ways: readonly Way[]): void {
  const files = filesOf(ways);
  assert.ok(files.length <= MAX_FILES, `it passes ${files.join(', ')}`);
  assert.deepEqual(stepsBack(ways), []);
}

test('a migration leads straight from StartMigration to the drivers, to its end', async () => {
  using nodes = await TwoNodes.open({}, { userData: '#cloud-config' });
  const { hypervisor, transfers, privateFiles, agent } = nodes.source;
  const { domains, host, jobs } = hypervisor;
  using recorder = new WayRecorder('agent/rpc/migration-handlers.ts');
  recorder.watch('domains', domains, ['list', 'find']);
  recorder.watch('host', host, ['getInfo']);
  recorder.watch('jobs', jobs, ['getJob', 'migrate']);
  recorder.watch('transfers', transfers, ['start', 'find', 'remove']);
  recorder.watch('privateFiles', privateFiles, ['read', 'remove']);
  const { namespace, name } = nodes.vm;
  const spec = MigrationSpec.fromPartial({
    virtualMachine: { namespace, name },
    destination: { nodeName: 'b' },
  });
  await migrationHandlers(agent.migrations).startMigration(
    { id: nodes.id, spec, labels: {} },
    newContext(),
  );
  await nodes.ended();
  await nodes.assertRunsOn(nodes.destination);
  assert.deepEqual(recorder.find('jobs.migrate')?.files, [
    'agent/rpc/migration-handlers.ts',
    'agent/migration/migration-manager.ts',
    'core/task-group.ts',
    'agent/migration/outgoing-migration.ts',
  ]);
  for (const call of ['transfers.remove', 'privateFiles.read', 'privateFiles.remove']) {
    assert.ok(recorder.find(call), call);
  }
  assertStraight(recorder.ways);
});

/** Asks for a VM to be created, and returns once it is; the ways from a file to the drivers are recorded meanwhile. */
async function waysOfCreation(from: string) {
  await using node = await OneNode.open();
  node.agent.run();
  const planned = await node.create(newRequest(), { dryRun: true });
  using recorder = new WayRecorder(from);
  recorder.watch('domains', node.hypervisor.domains, ['list', 'find', 'define', 'start']);
  recorder.watch('host', node.hypervisor.host, ['getInfo']);
  recorder.watch('privateFiles', node.privateFiles, ['put']);
  const { metadata, spec } = toVirtualMachine(planned);
  const machine = spec?.template?.spec;
  assert.ok(machine);
  machine.userData = '#cloud-config';
  const virtualMachine = { metadata, spec, status: undefined };
  const rest = { dryRun: false, reservationId: '', operationId: '', secrets: {} };
  const request = { virtualMachine, ...rest };
  const handlers = virtualMachineHandlers(node.vms, node.agent.operations);
  await handlers.createVirtualMachine(request, newContext());
  return recorder;
}

test('CreateVirtualMachine leads straight to what tells whether it can be done', async () => {
  const recorder = await waysOfCreation('agent/rpc/virtual-machine-handlers.ts');
  assert.ok(recorder.find('domains.list'));
  assertStraight(recorder.ways);
});

test('a creation leads straight from the reconciler to the drivers', async () => {
  const recorder = await waysOfCreation('agent/reconcile/reconciler.ts');
  for (const call of ['domains.define', 'domains.start', 'privateFiles.put']) {
    assert.ok(recorder.find(call), call);
  }
  assert.deepEqual(recorder.find('domains.define')?.files, [
    'agent/reconcile/reconciler.ts',
    'agent/operations/operation-controller.ts',
    'agent/vms/vm-images.ts',
    'agent/vms/vm-operations.ts',
    'agent/vms/vm-manager.ts',
    'agent/vms/vm-creator.ts',
  ]);
  assertStraight(recorder.ways);
});

test('a way that comes back into a file is found', () => {
  const ways = [
    { call: 'hypervisor.find', files: ['a.ts', 'b.ts'] },
    { call: 'hypervisor.define', files: ['a.ts', 'b.ts', 'a.ts'] },
  ];
  assert.deepEqual(stepsBack(ways), ['a.ts > b.ts > a.ts > hypervisor.define']);
  assert.deepEqual(filesOf(ways), ['a.ts', 'b.ts']);
});
