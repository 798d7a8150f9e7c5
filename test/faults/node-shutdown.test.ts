import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';
import { actReboot, qemuOf } from './acted-reboot.ts';

const IMAGE = '/run/nothing.raw';

test('before the host goes down guests are asked to power off, the power of the deaf is cut, and after the boot all run again', async ({
  signal,
}) => {
  const { kernelPath, initrdPath: initrd, commandLine } = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  await node.run(['truncate', '--size=1M', IMAGE], signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  using client = await connectAgent(node);
  const { vms } = client;
  const kernel = {
    path: kernelPath,
    initrd,
    commandLine: `${commandLine} demo.region=32M demo.fill=16M`,
  };
  // A firmware that finds nothing to boot heeds no power button.
  const cd = { name: 'none', kind: 'cdrom', format: 'raw', source: { file: { path: IMAGE } } };
  for (const [name, runStrategy, machine] of [
    ['obeys', 'RerunOnFailure', { kernel }],
    ['deaf', 'Always', { volumes: [cd] }],
    ['once', 'Once', { kernel }],
  ] as const) {
    const resources = { cpu: 1, memory: '256Mi' };
    const spec = { runStrategy, template: { spec: { resources, ...machine } } };
    const manifest = parseVirtualMachine({ metadata: { name }, spec });
    await vms.create(toVirtualMachineMessage(manifest), { signal });
  }
  for (const name of ['obeys', 'once']) {
    const uid = (await vms.get({ name }, { signal })).metadata?.uid ?? '';
    using console = watchConsole(node, await findConsoleLog(node, uid, signal));
    await console.waitFor('A check', PATIENCE_MS, () => console.passes.length > 0, signal);
  }
  const statusOf = async (name: string) => (await vms.get({ name }, { signal })).status;
  const startAgent = async () => {
    await node.agent.launch({ source: false }, signal);
    await node.agent.waitReady(signal);
  };
  const ctl = (...words: string[]) => novactl(lab, words, signal);

  const planned = await ctl('node', 'shutdown-vms', '--dry-run');
  assert.equal(planned.stdout.match(/Planned/g)?.length, 3, planned.stderr);
  assert.notEqual(qemuOf(node, 'default_obeys'), undefined);

  const shuttingDown = ctl('node', 'shutdown-vms', '--timeout', '25s');
  await waitUntil(
    'A guest to be asked',
    PATIENCE_MS,
    async () => (await statusOf('deaf'))?.reason === 'NodeShuttingDown',
    signal,
  );
  // Whoever waits goes on with the next agent, and so does that.
  await node.agent.kill(signal);
  await startAgent();
  const { code, stdout, stderr } = await shuttingDown;
  assert.equal(code, EXIT_CODES.ok, stderr);
  assert.match(stdout, /default\/deaf +PowerCut/);
  assert.match(stdout, /default\/obeys +Off/);
  assert.equal(await node.libvirt.virsh(['list', '--name'], signal), '');
  assert.equal((await statusOf('deaf'))?.reason, 'NodeShutdownPowerCut');
  assert.equal((await statusOf('obeys'))?.reason, 'NodeShutdown');

  const refused = await ctl('vm', 'start', 'once');
  assert.equal(refused.code, EXIT_CODES.refused);
  assert.match(refused.stderr, /NODE_SHUTTING_DOWN/);
  assert.match((await ctl('node', 'get')).stdout, /Ready,ShuttingDown/);

  await actReboot(node, signal);
  await startAgent();
  for (const name of ['obeys', 'deaf']) {
    await waitUntil(
      `Another run of ${name}`,
      PATIENCE_MS,
      () => qemuOf(node, `default_${name}`) !== undefined,
      signal,
    );
  }
  assert.equal((await statusOf('once'))?.reason, 'NodeShutdown');
  assert.match((await ctl('node', 'get')).stdout, / Ready /);

  // A host that stays up after all.
  await ctl('node', 'shutdown-vms', '--timeout', '1s');
  assert.equal(await node.libvirt.virsh(['list', '--name'], signal), '');
  assert.equal((await ctl('node', 'shutdown-vms', '--abort')).code, EXIT_CODES.ok);
  for (const name of ['obeys', 'deaf']) {
    await waitUntil(
      `A run of ${name} after it was called off`,
      PATIENCE_MS,
      () => qemuOf(node, `default_${name}`) !== undefined,
      signal,
    );
  }
});
