import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair, openHypervisor } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from './private-libvirt.ts';

const never = new AbortController().signal;

describe('the libvirt driver process', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  before(async () => {
    node = await PrivateLibvirt.start();
  });
  after(() => node[Symbol.asyncDispose]());

  test('killed in the middle of a call, it fails that call and is replaced for the next', async () => {
    await using hypervisor = openHypervisor(node);
    const { pid } = await hypervisor.diagnose(never);
    // A stopped libvirtd keeps the call in the middle.
    node.signalDaemon('SIGSTOP');
    const call = hypervisor.domains.list(never);
    const failed = assert.rejects(call, (error) => hasReason(error, 'HYPERVISOR_UNREACHABLE'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.kill(pid, 'SIGKILL');
    await failed;
    node.signalDaemon('SIGCONT');
    assert.deepEqual(await hypervisor.domains.list(never), []);
    assert.notEqual((await hypervisor.diagnose(never)).pid, pid);
  });

  test('ends with the agent, also when its Workers hang in libvirt', async () => {
    const parent = spawn(process.execPath, [`${import.meta.dirname}/hanging-agent.ts`, node.uri], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const driverPid = Number(String(line));
    assert.ok(isAlive(driverPid));
    node.signalDaemon('SIGSTOP');
    try {
      await new Promise((resolve) => setTimeout(resolve, 200));
      parent.kill('SIGKILL');
      await once(parent, 'exit');
      await waitFor('the driver process is gone', () => !isAlive(driverPid), 2000);
    } finally {
      node.signalDaemon('SIGCONT');
    }
  });

  test('killed during a migration, it leaves it to the two libvirtd, and says so', async () => {
    await using pair = await LibvirtPair.start();
    const vm = tinyVm({}, { resources: { cpu: '1', memory: '512Mi' } });
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
    process.kill((await pair.source.diagnose(never)).pid, 'SIGKILL');
    await failed;
    assert.equal((await pair.source.jobs.getJob(vm.uid, never))?.operation, 'migration-out');
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
