import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';
import { VirtualMachinePhase } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { AgentError } from '../../src/core/errors.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';

// Each node's own; as root, whoever runs the agent, sees all of it.
const FOLDER = '/run/vm';
const QEMU_USER = 'libvirt-qemu';
const IMAGE = `${FOLDER}/web.raw`;

test('an image that the user of QEMU cannot reach is named before and at the deed, and leaves the VM off', async ({
  signal,
}) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'], qemuUser: QEMU_USER }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  for (const node of lab.nodes) {
    await node.run(['mkdir', FOLDER], signal);
    await node.run(['truncate', '--size=1M', IMAGE], signal);
    await node.run(['chown', QEMU_USER, IMAGE], signal);
  }
  const [a, b] = [lab.node('a'), lab.node('b')];
  using client = await connectAgent(a);
  await client.vms.create(vm('web'), { signal });

  await a.run(['chmod', '700', FOLDER], signal);
  const before = await refusalOf(client.vms.create(vm('other'), { signal, dryRun: true }));
  assert.equal(before.reason, 'IMAGE_NOT_READABLE');
  assert.match(before.message, /runs as user libvirt-qemu .*: \/run\/vm is closed to that user/);

  const atTheDeed = await refusalOf(client.vms.start({ name: 'web' }, { signal }));
  assert.equal(atTheDeed.reason, 'IMAGE_NOT_READABLE');
  assert.match(atTheDeed.message, /^Cannot start VM web: .*\/run\/vm is closed to that user/);
  const { status } = await client.vms.get({ name: 'web' }, { signal });
  assert.equal(status?.phase, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED);
  assert.equal(status.reason, 'NeverStarted');

  await a.run(['chmod', '755', FOLDER], signal);
  await client.vms.start({ name: 'web' }, { signal });
  // Closed where it is to go to.
  await b.run(['chmod', '700', FOLDER], signal);
  const blockers = await blockersTo(client, 'b', signal);
  const closed = blockers.find(({ reason }) => reason === 'IMAGE_NOT_READABLE');
  assert.match(closed?.message ?? JSON.stringify(blockers), /\/run\/vm is closed to that user/);
});

function vm(name: string) {
  const volume = {
    name: 'root',
    format: 'raw',
    source: { file: { path: IMAGE } },
    cache: 'writeback',
    shared: true,
  };
  const machine = { resources: { cpu: '1', memory: '64Mi' }, volumes: [volume] };
  const spec = { runStrategy: 'Manual', template: { spec: machine } };
  return toVirtualMachineMessage(parseVirtualMachine({ metadata: { name }, spec }));
}

async function refusalOf(attempt: Promise<unknown>): Promise<AgentError> {
  const error: unknown = await attempt.then(
    () => assert.fail('It was done'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AgentError, String(error));
  return error;
}

async function blockersTo(client: AgentClient, nodeName: string, signal: AbortSignal) {
  const spec = { virtualMachine: { name: 'web' }, destination: { nodeName } };
  return (await client.migrations.plan(spec, { signal })).blockers;
}
