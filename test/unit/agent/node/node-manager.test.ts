import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JournalHealth } from '../../../../src/agent/journal/journal.ts';
import type { Node } from '../../../../src/agent/node/node.ts';
import { NodeManager } from '../../../../src/agent/node/node-manager.ts';
import { ReportOriginSource } from '../../../../src/agent/report-origin-source.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { sampleVm } from '../telemetry/samples.ts';

const GIB = 1024 ** 3;
const HEALTHY: JournalHealth = { reason: 'Healthy', message: '' };

/** A node whose surroundings the test changes. */
class Surroundings implements AsyncDisposable {
  readonly hypervisor = new FakeHypervisor('node-a');
  vms: readonly Vm[] | undefined = [];
  journal = HEALTHY;
  nowMs = 1_000;
  readonly manager: NodeManager;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(accelerator: 'auto' | 'kvm' | 'tcg' = 'auto') {
    this.manager = new NodeManager({
      identity: {
        name: 'node-a',
        agentVersion: '1.2.3',
        peerProtocolMin: 1,
        peerProtocolMax: 1,
        advertiseAddress: '10.0.0.1:7443',
      },
      capacity: { cpus: 8, memoryBytes: 15 * GIB },
      accelerator,
      host: {
        bootId: 'boot',
        cpus: 8,
        memoryBytes: 16 * GIB,
        hostname: 'host-a',
        operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
        kernelRelease: '6.1.0-18-amd64',
      },
      hypervisor: this.hypervisor,
      origins: new ReportOriginSource({ nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 1 }),
      listVms: () => this.vms,
      allocatedMemoryBytes: (vms) =>
        vms.reduce((sum, { definition }) => sum + definition.spec.memory.sizeBytes, 0),
      journalHealth: () => this.journal,
      log: createLogger('silent'),
      now: () => this.nowMs,
    });
    this.#running = this.manager.run(this.#stop.signal).catch(() => {});
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The first node seen for which the condition holds. */
  async until(holds: (node: Node) => boolean): Promise<Node> {
    for await (const node of this.manager.watch(AbortSignal.timeout(30_000))) {
      if (holds(node)) return node;
    }
    throw new Error('The watch has ended');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('stopping'));
    await this.#running;
  }
}

function condition(node: Node, type: string): Node['conditions'][number] | undefined {
  return node.conditions.find((candidate) => candidate.type === type);
}

const isConnected = (node: Node) => node.hypervisorConnected;

test('before the hypervisor was reached the node is not ready and says nothing of it', async () => {
  await using surroundings = new Surroundings();
  const node = await surroundings.manager.get(surroundings.signal);
  assert.equal(node.uid, '');
  assert.equal(node.hypervisor, undefined);
  assert.equal(condition(node, 'HypervisorConnected')?.status, 'unknown');
  assert.equal(condition(node, 'Ready')?.status, 'false');
  assert.equal(node.operatingSystem.prettyName, 'Debian GNU/Linux 12 (bookworm)');
});

test('once it is reached the node is ready and knows its hypervisor', async () => {
  await using surroundings = new Surroundings();
  const node = await surroundings.until(isConnected);
  assert.equal(node.uid, surroundings.hypervisor.hostUuid);
  assert.equal(condition(node, 'Ready')?.status, 'true');
  assert.deepEqual(node.capacity, { cpus: 8, memoryBytes: 15 * GIB });
});

test('a lost hypervisor is told, with the time, and what was read before is kept', async () => {
  await using surroundings = new Surroundings();
  const before = await surroundings.until(isConnected);
  surroundings.nowMs = 5_000;
  surroundings.hypervisor.disconnect();
  const lost = await surroundings.until((node) => !isConnected(node));
  assert.deepEqual(lost.hypervisor, before.hypervisor);
  assert.equal(condition(lost, 'HypervisorConnected')?.status, 'false');
  assert.equal(condition(lost, 'HypervisorConnected')?.lastTransitionAtMs, 5_000);
  assert.equal(condition(lost, 'StorageHealthy')?.lastTransitionAtMs, 1_000);
  assert.notEqual(condition(lost, 'Ready')?.message, '');
  assert.ok(lost.origin.revision > before.origin.revision);
  surroundings.hypervisor.reconnect();
  await surroundings.until(isConnected);
});

test('it is not ready until the VMs were listed', async () => {
  await using surroundings = new Surroundings();
  surroundings.vms = undefined;
  const node = await surroundings.until(isConnected);
  assert.equal(condition(node, 'Ready')?.reason, 'VmsNotListed');
});

test('VMs that are on are counted as allocated', async () => {
  await using surroundings = new Surroundings();
  surroundings.vms = [sampleVm('web', 'running'), sampleVm('db', 'stopped')];
  const node = await surroundings.manager.get(surroundings.signal);
  assert.equal(node.runningVms, 1);
  assert.equal(node.allocated.cpus, 2);
});

test('a full disk makes it not ready, a replaced journal only unhealthy', async () => {
  await using surroundings = new Surroundings();
  await surroundings.until(isConnected);
  surroundings.journal = { reason: 'JournalReplaced', message: 'It was damaged' };
  const replaced = await surroundings.manager.get(surroundings.signal);
  assert.equal(condition(replaced, 'Ready')?.status, 'true');
  assert.equal(condition(replaced, 'StorageHealthy')?.status, 'false');
  surroundings.journal = { reason: 'WriteFailed', message: 'The disk is full' };
  const full = await surroundings.manager.get(surroundings.signal);
  assert.equal(condition(full, 'Ready')?.message, 'The disk is full');
});

test('nothing is told while nothing changes', async () => {
  await using surroundings = new Surroundings();
  const { origin } = await surroundings.until(isConnected);
  surroundings.nowMs = 9_000;
  for (let count = 0; count < 3; count++) surroundings.manager.review();
  const node = await surroundings.manager.get(surroundings.signal);
  assert.deepEqual(node.origin, origin);
});

test('a watch ends with the reason of its signal', async () => {
  await using surroundings = new Surroundings();
  const stop = new AbortController();
  const watching = (async () => {
    for await (const node of surroundings.manager.watch(stop.signal)) {
      if (isConnected(node)) stop.abort(new Error('enough'));
    }
  })();
  await assert.rejects(watching, { message: 'enough' });
});

test('the accelerator is what was set, or else what the hypervisor offers', async () => {
  await using fixed = new Surroundings('tcg');
  assert.equal((await fixed.until(isConnected)).accelerator, 'tcg');
  await using automatic = new Surroundings();
  const { hypervisor, accelerator } = await automatic.until(isConnected);
  assert.equal(accelerator, hypervisor?.accelerators.includes('kvm') ? 'kvm' : 'tcg');
});
