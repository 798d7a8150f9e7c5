import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import { launchDriver } from '../../../src/drivers/libvirt/driver-launch.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { freeze } from '../../fixtures/process-signals.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { answers, LibvirtPair, openHypervisor } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from './private-libvirt.ts';

const never = new AbortController().signal;

describe('the libvirt driver process', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  before(async () => {
    node = await PrivateLibvirt.start();
  });
  after(() => node[Symbol.asyncDispose]());

  test('killed in the middle of a call, it fails that call and is replaced for the next', async () => {
    await using hypervisor = await openHypervisor(node);
    const { pid } = await hypervisor.diagnose(never);
    {
      // A stopped libvirtd keeps the call in the middle.
      using _stuck = node.freezeDaemon();
      const call = hypervisor.domains.list(never);
      const failed = assert.rejects(call, (error) => hasReason(error, 'HYPERVISOR_UNREACHABLE'));
      // The process answers in order, so it has the call by now.
      await hypervisor.diagnose(never);
      process.kill(pid, 'SIGKILL');
      await failed;
    }
    await waitFor('the next one is connected', () => answers(hypervisor));
    assert.deepEqual(await hypervisor.domains.list(never), []);
    assert.notEqual((await hypervisor.diagnose(never)).pid, pid);
  });

  test('launched before there is anybody to use it, it is used once there is', async () => {
    const launchedDriver = launchDriver();
    await using hypervisor = await openHypervisor(node, { launchedDriver });
    assert.equal((await hypervisor.diagnose(never)).pid, launchedDriver.pid);
  });

  test('launched and ended before there is anybody to use it, it is replaced', async () => {
    const launchedDriver = launchDriver();
    launchedDriver.kill('SIGKILL');
    await once(launchedDriver, 'exit');
    await using hypervisor = await openHypervisor(node, { launchedDriver });
    assert.notEqual((await hypervisor.diagnose(never)).pid, launchedDriver.pid);
  });

  test('ends with the agent, also when its Workers hang in libvirt', async () => {
    const program = `${import.meta.dirname}/hanging-agent.ts`;
    await using agent = new OwnedProcess(
      spawn(process.execPath, [program, node.uri], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    assert.equal(await agent.nextLine(), 'connected');
    using _stuck = node.freezeDaemon();
    agent.child.stdin?.write('go on\n');
    const driverPid = Number(await agent.nextLine());
    assert.ok(isAlive(driverPid));
    await agent.kill();
    await waitFor('the driver process is gone', () => !isAlive(driverPid));
  });

  test('killed during a migration, it leaves it to the two libvirtd, and says so', async () => {
    await using pair = await LibvirtPair.start();
    const vm = tinyVm({}, { resources: { cpu: '1', memory: '1Gi' } });
    await pair.source.domains.define(vm, never);
    await pair.source.domains.start(vm.uid, never);
    const migration = pair.source.jobs.migrate(vm.uid, pair.migration(vm, 'slow'), never);
    const failed = assert.rejects(
      migration,
      (error) =>
        hasReason(error, 'HYPERVISOR_UNREACHABLE') && error.message.includes('outcome is unknown'),
    );
    await waitFor('the migration has begun', async () => {
      return ((await pair.source.jobs.getJob(vm.uid, never))?.memoryTotalBytes ?? 0n) > 0n;
    });
    {
      // The VM cannot arrive before it was seen to be under way without the process that began it.
      using _still = freeze(pair.destinationNode.qemuPid(vm.uid));
      process.kill((await pair.source.diagnose(never)).pid, 'SIGKILL');
      await failed;
      await waitFor('the next process is connected', () => answers(pair.source));
      assert.equal((await pair.source.jobs.getJob(vm.uid, never))?.operation, 'migration-out');
    }
    await waitFor('the VM has arrived', async () => {
      return (await pair.destination.domains.find(vm.uid, never))?.state === 'running';
    });
    await waitFor('the VM is gone', async () => {
      return (await pair.source.domains.find(vm.uid, never)) === undefined;
    });
    const xml = pair.destinationNode.virsh('dumpxml', '--inactive', vm.uid);
    assert.match(xml, /ownershipEpoch=.2/, 'the persistent definition kept the old epoch');
  });
});

/** Runs, and is not only waiting to be reaped. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
