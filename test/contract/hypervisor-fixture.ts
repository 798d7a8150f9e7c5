import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasReason, type Reason } from '../../src/core/errors.ts';
import type { MadeDisk } from '../../src/core/made-disks.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { readDefinitionText, toDefinitionText } from '../../src/core/vm-definition-text.ts';
import type { Hypervisor } from '../../src/drivers/hypervisor.ts';
import type { HypervisorMigration } from '../../src/drivers/hypervisor-jobs.ts';

export type VmSize = 'small' | 'medium' | 'large';

export type ChangeByHand = 'memory' | 'volumes' | 'networks' | 'persistence';

/** Two hypervisors for the suites of their contracts. */
export interface HypervisorFixture extends AsyncDisposable {
  readonly source: Hypervisor;
  readonly destination: Hypervisor;
  /**
   * A new VM that can be started. To migrate slowly a `medium` one takes a few seconds, a `large` one longer than anything that
   * is done to it meanwhile.
   */
  readonly newDefinition: (size?: VmSize) => VmDefinition;
  /** A VM that runs on the source, in whose guest a guest agent listens that does what it is asked. */
  readonly startGuest: () => Promise<VmDefinition>;
  /** Of an image that a drive can have. */
  readonly mediumPath: string;
  /** The path of a new disk, raw and of 1 MiB. */
  readonly makeDisk: () => string;
  /** The guest of a VM, which has no guest agent, does not let go of what it is to let go of, until disposed. */
  readonly keepDevices: (uid: string) => Disposable;
  /** An encrypted disk, new, that both nodes have. */
  readonly makeEncryptedDisk: (key: string) => Promise<MadeDisk>;
  /** A VM that somebody has made with virsh on the source, off, with something that no manifest can say. Its machine says nothing. */
  readonly makeByHand: () => Promise<VmDefinition>;
  /** A guest of the source ejects what is in the drive of a volume. */
  readonly openDrive: (uid: string, volumeName: string) => void;
  /** It shuts it again, with what was in it. */
  readonly shutDrive: (uid: string, volumeName: string) => void;
  /** What somebody does with virsh to a VM of the source. */
  readonly changeByHand: (uid: string, part: ChangeByHand) => void;
  /** A request to migrate from source to destination. */
  readonly migration: (definition: VmDefinition, speed: 'fast' | 'slow') => HypervisorMigration;
}

/** The fixture is made once for all tests of a suite, and before the first of them runs. */
export type UseFixture = () => HypervisorFixture;

export const never = new AbortController().signal;
export const TIMEOUT_MS = 30_000;

/** A VM that runs on the source. */
export async function started(
  { source, newDefinition }: HypervisorFixture,
  size: VmSize = 'small',
): Promise<VmDefinition> {
  const vm = newDefinition(size);
  await source.domains.define(vm, never);
  await source.domains.start(vm.uid, never);
  return vm;
}

/** The same VM as an agent has written it that knows more than this one. */
export function writtenByNewerAgent(vm: VmDefinition): VmDefinition {
  const manifest = JSON.parse(toDefinitionText(vm)) as { spec: object };
  const text = JSON.stringify({ ...manifest, spec: { ...manifest.spec, hologram: { depth: 3 } } });
  return readDefinitionText(text, { ...vm, isNewerVersion: false });
}

export async function rejectsWith(reason: Reason, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), `${reason} was expected, not ${String(error)}`);
    return true;
  });
}

/** A call must end with the reason it was aborted for, before and while it runs. */
export async function assertAbortable(
  call: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const reason = new Error('enough');
  await assert.rejects(call(AbortSignal.abort(reason)), reason);
  const controller = new AbortController();
  const running = call(controller.signal);
  controller.abort(reason);
  await assert.rejects(running, reason);
}

export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + TIMEOUT_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < endMs, `Waited in vain: ${what}`);
    await sleep(5);
  }
}
