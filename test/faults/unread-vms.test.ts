import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';
import { VirtualMachinePhase } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';
import { SlowLibvirt } from './slow-libvirt.ts';

const IMAGE = '/run/nothing.raw';
const { VIRTUAL_MACHINE_PHASE_UNKNOWN: UNKNOWN, VIRTUAL_MACHINE_PHASE_RUNNING: RUNNING } =
  VirtualMachinePhase;

/** Its firmware finds nothing to boot, and then idles. */
async function create(
  client: AgentClient,
  name: string,
  runStrategy: 'Always' | 'Manual',
  signal: AbortSignal,
): Promise<string> {
  const source = { file: { path: IMAGE } };
  const machine = {
    resources: { cpu: 1, memory: '64Mi' },
    volumes: [{ name: 'none', kind: 'cdrom', format: 'raw', source }],
  };
  const spec = { runStrategy, template: { spec: machine } };
  const vm = parseVirtualMachine({ metadata: { name }, spec });
  const { virtualMachine } = await client.vms.create(toVirtualMachineMessage(vm), { signal });
  return virtualMachine?.metadata?.uid ?? '';
}

/** A node with a VM `web` that runs and another, `db`, whose agent asks a libvirt that can be made slow. */
async function startNode(signal: AbortSignal) {
  await using undo = new AsyncDisposableStack();
  const lab = undo.use(await Lab.create({ nodes: ['a'] }, signal));
  const node = lab.node('a');
  await node.run(['truncate', '--size=1M', IMAGE], signal);
  const libvirt = undo.use(await SlowLibvirt.start(node));
  const settings = { hypervisor: { accelerator: 'tcg', uri: SlowLibvirt.uri } };
  await lab.startAgents({ accelerator: 'tcg', settings }, signal);
  const client = undo.use(await connectAgent(node));
  const uid = await create(client, 'web', 'Always', signal);
  await create(client, 'db', 'Manual', signal);
  const owned = undo.move();
  return { lab, node, libvirt, client, uid, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Starts the agent anew and waits until its probe of readiness says so. */
async function relaunch(
  node: LabNode,
  answer: (page: { readonly status: number; readonly body: string }) => boolean,
  signal: AbortSignal,
): Promise<void> {
  await node.agent.launch({ source: false }, signal);
  await waitUntil(
    'The expected word of readiness',
    PATIENCE_MS,
    async () => {
      const page = await node.agent.tryHttpGet('/readyz', signal);
      // The probe answers a moment before the API does.
      if (page === undefined || page.body.includes('The API does not listen yet')) return false;
      return answer(page);
    },
    signal,
  );
}

const isReady = ({ status }: { readonly status: number }) => status === 200;

async function domainsOf(node: LabNode, signal: AbortSignal): Promise<readonly string[]> {
  const names = await node.libvirt.virsh(['list', '--all', '--name'], signal);
  return names.split('\n').filter(Boolean).toSorted();
}

test('a VM of the node that libvirt does not describe is Unknown, never absent, and itself again when it does', async ({
  signal,
}) => {
  await using started = await startNode(signal);
  const { node, libvirt, client, uid } = started;
  await node.agent.kill(signal);
  {
    using _slow = libvirt.slowDown(uid);
    await relaunch(node, ({ body }) => body.includes('not all of its VMs read'), signal);
    await assert.rejects(client.vms.get({ name: 'web' }, { signal }), {
      reason: 'STATE_NOT_READY',
    });
    await waitUntil(
      'Readiness without it',
      PATIENCE_MS,
      async () => (await node.agent.httpGet('/readyz', signal)).status === 200,
      signal,
    );
    const web = await client.vms.get({ name: 'web' }, { signal });
    assert.deepEqual(
      [web.status?.phase, web.status?.reason, web.spec, web.metadata?.uid],
      [UNKNOWN, 'NotRead', undefined, uid],
    );
    for (const force of [false, true]) {
      await assert.rejects(client.vms.delete({ name: 'web' }, { signal, force }), {
        reason: 'STATE_NOT_READY',
      });
    }
    const db = await client.vms.get({ name: 'db' }, { signal });
    assert.equal(db.status?.reason, 'NeverStarted');
  }
  assert.deepEqual(await domainsOf(node, signal), ['default_db', 'default_web']);
  await waitUntil(
    'The VM as it is',
    PATIENCE_MS,
    async () => {
      const { status } = await client.vms.get({ name: 'web' }, { signal });
      return status?.phase === RUNNING;
    },
    signal,
  );
});

test('after the loss of its disk an agent waits for such a VM, until an operator says that it shall go on', async ({
  signal,
}) => {
  await using started = await startNode(signal);
  const { lab, node, libvirt, client, uid } = started;
  await node.agent.kill(signal);
  await rm(path.join(node.plan.directory, 'state'), { recursive: true });
  using slow = libvirt.slowDown(uid);
  const isHeldUp = ({ status, body }: { readonly status: number; readonly body: string }) =>
    status === 503 && body.includes(`default_web (${uid})`);
  await relaunch(node, isHeldUp, signal);
  await assert.rejects(client.vms.get({ name: 'db' }, { signal }), { reason: 'STATE_NOT_READY' });
  // Also the next one.
  await node.agent.kill(signal);
  await relaunch(node, isHeldUp, signal);
  const said = await novactl(lab, ['node', 'accept-unidentified'], signal);
  assert.match(said.stdout, /goes on without knowing whose these VMs are: default_web/);
  await waitUntil(
    'Readiness without it',
    PATIENCE_MS,
    async () => isReady(await node.agent.httpGet('/readyz', signal)),
    signal,
  );
  const page = await node.agent.httpGet('/metrics', signal);
  assert.match(page.body, /^novacron_unidentified_vms 1$/m);
  await assert.rejects(client.vms.get({ name: 'web' }, { signal }), { reason: 'STATE_NOT_READY' });
  await client.vms.start({ name: 'db' }, { signal });
  slow[Symbol.dispose]();
  await waitUntil(
    'The VM that could not be read',
    PATIENCE_MS,
    async () => {
      const { virtualMachines } = await client.vms.list({}, { signal });
      const names = virtualMachines.map(({ metadata }) => metadata?.name);
      return names.join() === 'db,web';
    },
    signal,
  );
});
