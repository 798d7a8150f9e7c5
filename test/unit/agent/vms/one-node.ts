import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Journal } from '../../../../src/agent/journal/journal.ts';
import { ReportOriginSource } from '../../../../src/agent/report-origin-source.ts';
import { CapacityLedger } from '../../../../src/agent/vms/capacity.ts';
import { OperationRecorder } from '../../../../src/agent/vms/operation-recorder.ts';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import type { VmRef, VmRequest } from '../../../../src/agent/vms/vm.ts';
import { VmCreator } from '../../../../src/agent/vms/vm-creator.ts';
import { VmInventory } from '../../../../src/agent/vms/vm-inventory.ts';
import { ShutdownRequests, VmManager } from '../../../../src/agent/vms/vm-manager.ts';
import { KeyLocks } from '../../../../src/core/key-locks.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { PowerState } from '../../../../src/core/vm-spec.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

export const never = new AbortController().signal;
export const EVERYTHING = { namespace: '', labels: {} };
/** Only a failure takes as long. */
const TIMEOUT_MS = 30_000;
const MIB = 1024 ** 2;

/** All that has to do with VMs on a node with 128 MiB for them. */
export class OneNode implements Disposable {
  readonly hypervisor = new FakeHypervisor();
  readonly journal = Journal.inMemory();
  readonly locks = new KeyLocks();
  readonly capacity = new CapacityLedger({ cpus: 2, memoryBytes: 128 * MIB });
  readonly ownership = new Ownership(this.journal.vms);
  readonly origins = new ReportOriginSource({
    nodeName: 'a',
    nodeBootId: 'boot',
    agentEpoch: 3,
  });
  readonly inventory: VmInventory;
  readonly vms: VmManager;
  /** Fails if VMs shall be refused. */
  validate = async (): Promise<void> => {};
  readonly #stop = new AbortController();

  constructor({ resyncIntervalMs = 20 } = {}) {
    const { hypervisor, origins, locks, capacity, ownership } = this;
    const shutdowns = new ShutdownRequests();
    const log = createLogger('silent');
    this.inventory = new VmInventory({
      hypervisor,
      origins,
      contextOf: (uid) => ({ migrationId: undefined, shutdownRequested: shutdowns.has(uid) }),
      isStale: ({ definition }) => definition !== undefined && ownership.isStale(definition),
      resyncIntervalMs,
      log,
    });
    const recorder = new OperationRecorder(this.journal.operations, log);
    const shared = {
      hypervisor,
      inventory: this.inventory,
      ownership,
      origins,
      locks,
      recorder,
      log,
    };
    const creator = new VmCreator({ ...shared, capacity, validate: () => this.validate() });
    this.vms = new VmManager({
      ...shared,
      creator,
      console: { read: readPath },
      shutdowns,
    });
  }

  /** Keeps the inventory fresh until disposed. */
  run(): void {
    this.inventory.run(this.#stop.signal).catch(() => undefined);
  }

  create(request: VmRequest, options: { dryRun?: boolean; signal?: AbortSignal } = {}) {
    const { dryRun = false, signal = never } = options;
    return this.vms.create(request, { dryRun }, signal);
  }

  /** Nothing of a VM is left. */
  async assertNothingOf({ uid, namespace, name }: VmRequest): Promise<void> {
    assert.equal(await this.hypervisor.find(uid ?? '', never), undefined);
    this.assertFree(uid ?? '', `${namespace}/${name}`);
    assert.equal(this.journal.vms.find(uid ?? ''), undefined);
  }

  assertFree(...keys: readonly string[]): void {
    for (const key of keys) assert.equal(this.locks.purposeOf(key), undefined);
    const on = this.inventory.list(EVERYTHING).filter(({ phase }) => phase !== 'stopped');
    const bytes = on.reduce((sum, vm) => sum + vm.definition.spec.memory.sizeBytes, 0);
    assert.equal(this.capacity.allocatedBytes(this.inventory.list(EVERYTHING)), bytes);
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error('The test has ended'));
    this.journal[Symbol.dispose]();
  }
}

/** Reads a console that says where it is. */
async function* readPath(path: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(path);
}

export function newRequest(
  name = 'web',
  options: { readonly powerState?: PowerState; readonly memoryMib?: number } = {},
): VmRequest {
  const { powerState = 'running', memoryMib = 64 } = options;
  const { namespace, uid, labels, annotations, spec } = tinyVm({}, memoryMib);
  return { namespace, name, uid, labels, annotations, spec: { ...spec, powerState } };
}

export function refOf({ namespace, name }: VmRequest): VmRef {
  return { namespace, name, uid: undefined };
}

export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = performance.now() + TIMEOUT_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < endMs, `Waited in vain: ${what}`);
    await sleep(1);
  }
}
