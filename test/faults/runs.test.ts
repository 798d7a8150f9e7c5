import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import type { RunStrategy } from '../../src/core/resources/virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { actReboot, killProcess, qemuOf } from './acted-reboot.ts';

test('why VMs are off is told, and acted upon, though agent, libvirt and node go down in between', async ({
  signal,
}) => {
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  using client = await connectAgent(node);
  const { vms } = client;
  const { kernelPath: path, initrdPath: initrd, commandLine } = guest;
  const create = async (name: string, runStrategy: RunStrategy) => {
    const machine = {
      resources: { cpu: 1, memory: '256Mi' },
      kernel: { path, initrd, commandLine: `${commandLine} demo.region=32M demo.fill=16M` },
    };
    const manifest = { metadata: { name }, spec: { runStrategy, template: { spec: machine } } };
    await vms.create(toVirtualMachineMessage(parseVirtualMachine(manifest)), { signal });
  };
  const untilBooted = async (name: string) => {
    const uid = (await vms.get({ name }, { signal })).metadata?.uid ?? '';
    using console = watchConsole(node, await findConsoleLog(node, uid, signal));
    await console.waitFor('A check', PATIENCE_MS, () => console.passes.length > 0, signal);
  };
  const untilGone = (name: string) =>
    waitUntil(
      `The end of ${name}`,
      PATIENCE_MS,
      () => qemuOf(node, `default_${name}`) === undefined,
      signal,
    );
  const untilRuns = (name: string) =>
    waitUntil(
      `Another run of ${name}`,
      PATIENCE_MS,
      () => qemuOf(node, `default_${name}`) !== undefined,
      signal,
    );
  const reasonOf = async (name: string) => (await vms.get({ name }, { signal })).status?.reason;
  const untilReason = (name: string, reason: string) =>
    waitUntil(
      `${name} saying ${reason}`,
      PATIENCE_MS,
      async () => (await reasonOf(name)) === reason,
      signal,
    );
  const killQemu = async (name: string) => {
    const qemu = qemuOf(node, `default_${name}`);
    assert.ok(qemu);
    await killProcess(qemu.pid, signal);
  };
  const startAgent = async () => {
    await node.agent.launch({ source: false }, signal);
    await node.agent.waitReady(signal);
  };

  await create('dies', 'RerunOnFailure');
  await create('leaves', 'RerunOnFailure');
  await create('once', 'Once');
  await untilBooted('leaves');

  // A signal to QEMU is nothing that the guest wanted.
  process.kill(qemuOf(node, 'default_once')?.pid ?? 0, 'SIGTERM');
  await untilReason('once', 'Terminated');

  // The agent is dead while one QEMU is killed and one guest powers off.
  await node.agent.kill(signal);
  await killQemu('dies');
  await node.libvirt.virsh(['shutdown', 'default_leaves'], signal);
  await untilGone('leaves');
  await startAgent();
  await untilRuns('dies');
  assert.equal(await reasonOf('leaves'), 'GuestShutdown');
  assert.equal(await reasonOf('once'), 'Terminated');

  // Neither agent nor libvirt is there to see how it ends; libvirt finds that its QEMU is gone.
  await vms.start({ name: 'once' }, { signal });
  await node.agent.kill(signal);
  await killProcess(node.libvirt.findPid() ?? 0, signal);
  await killQemu('once');
  await node.libvirt.startLibvirtd(signal);
  await startAgent();
  await untilReason('once', 'Crashed');
  assert.equal(await reasonOf('leaves'), 'GuestShutdown');

  await vms.start({ name: 'once' }, { signal });
  await actReboot(node, signal);
  assert.equal(qemuOf(node, 'default_dies'), undefined);
  await startAgent();
  await untilRuns('dies');
  assert.equal(await reasonOf('once'), 'NodeRebooted');
  assert.equal(await reasonOf('leaves'), 'GuestShutdown');
  assert.equal(qemuOf(node, 'default_leaves'), undefined);

  // What was asked for of us, and what was done behind our back.
  await vms.destroy({ name: 'dies' }, { signal });
  assert.equal(await reasonOf('dies'), 'Destroyed');
  await vms.start({ name: 'dies' }, { signal });
  await node.libvirt.virsh(['destroy', 'default_dies'], signal);
  await untilReason('dies', 'DestroyedByOther');
  assert.equal(qemuOf(node, 'default_dies'), undefined);
});
