import { delay } from '../../core/delay.ts';
import { machineToStart } from '../../core/ejected-media.ts';
import { AgentError, hasReason, type Reason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { summarize } from '../../core/resources/schema-issues.ts';
import { pathOf } from '../../core/resources/volume.ts';
import type { HostBridges } from '../../drivers/host-bridges.ts';
import type { ImageInspector } from '../../drivers/images.ts';
import { missingBridges } from './network-violations.ts';
import type { Vm } from './vm.ts';
import { isOff, type StartProblem } from './vm-phase.ts';

export interface StartabilityOptions {
  readonly images: Pick<ImageInspector, 'listMissing'>;
  readonly bridges: HostBridges;
  /** The VMs as last listed; undefined until they were. Must cost nothing. */
  readonly listVms: () => readonly Vm[] | undefined;
  readonly onChange: () => void;
  readonly lookIntervalMs?: number | undefined;
  readonly log: Logger;
}

const LOOK_INTERVAL_MS = 30_000;

/** What stays so until somebody mends it; the rest passes by itself. */
const LASTING = [
  'IMAGE_NOT_FOUND',
  'IMAGE_INVALID',
  'IMAGE_IN_USE',
  'IMAGE_NOT_ALLOWED',
  'IMAGE_NOT_READABLE',
  'DEVICE_IN_USE',
  'NETWORK_NOT_FOUND',
  'CPU_INCOMPATIBLE',
  'FEATURE_NOT_SUPPORTED',
  'HYPERVISOR_REFUSED',
  'HOOK_NOT_ALLOWED',
  'HOOK_FAILED',
] as const satisfies readonly Reason[];

/** What is looked at anew, whatever an attempt has found. */
const LOOKED_AT: readonly Reason[] = ['IMAGE_NOT_FOUND', 'NETWORK_NOT_FOUND'];

/**
 * What keeps VMs from being started, for whoever comes next: what the last attempt has found, and of those that are off whether
 * all their files and bridges are there.
 */
export class Startability {
  readonly #options: StartabilityOptions;
  /** What the last attempt by this agent has found; undefined if that was nothing. */
  readonly #found = new Map<string, StartProblem | undefined>();
  #missing: ReadonlyMap<string, StartProblem> = new Map();

  constructor(options: StartabilityOptions) {
    this.#options = options;
  }

  /** `lastStart` is the last one that has ended, of whichever agent. Costs nothing. */
  find(vmUid: string, lastStart: EndedStart | undefined): StartProblem | undefined {
    const missing = this.#missing.get(vmUid);
    if (missing !== undefined) return missing;
    return this.#found.has(vmUid) ? this.#found.get(vmUid) : failureOf(lastStart);
  }

  /** Takes note of what an attempt has come to, a dry run too. */
  async noting<T>(vmUid: string, attempt: Promise<T>): Promise<T> {
    try {
      const result = await attempt;
      this.#note(vmUid, undefined);
      return result;
    } catch (error) {
      if (error instanceof AgentError) this.noteFailure(vmUid, error);
      throw error;
    }
  }

  /** Takes note of what keeps a VM from being started, if that stays so until somebody mends it. */
  noteFailure(vmUid: string, error: AgentError): void {
    if (!hasReason(error, ...LASTING)) return;
    const { reason, message } = error;
    this.#note(vmUid, { reason, message });
  }

  /** Looks for the files and bridges of VMs that are off, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { lookIntervalMs = LOOK_INTERVAL_MS, log } = this.#options;
    for (;;) {
      await this.#look(signal).catch((error: unknown) => {
        signal.throwIfAborted();
        log.debug({ err: error }, 'Cannot look for the files and bridges of VMs');
      });
      await delay(lookIntervalMs, signal);
    }
  }

  #note(vmUid: string, problem: StartProblem | undefined): void {
    const isNew = !this.#found.has(vmUid) || this.#found.get(vmUid)?.message !== problem?.message;
    this.#found.set(vmUid, problem);
    if (isNew) this.#options.onChange();
  }

  /** One at a time, however long it takes. */
  async #look(signal: AbortSignal): Promise<void> {
    const { images, bridges, listVms, onChange } = this.#options;
    const vms = listVms();
    if (vms === undefined) return;
    const off = vms.filter((vm) => vm.isRead && isOff(vm));
    const paths = [...new Set(off.flatMap(filesOf))];
    const gone = new Set(await images.listMissing(paths, signal));
    const present = off.some(hasNetworks) ? await bridges.list(signal) : [];
    const missing = new Map<string, StartProblem>();
    for (const vm of off) {
      const { uid } = vm.definition;
      const lost = filesOf(vm).filter((path) => gone.has(path));
      const problem = lost.length > 0 ? lossOf(vm, lost) : bridgeLossOf(vm, present);
      const found = this.#found.get(uid)?.reason;
      if (problem !== undefined) missing.set(uid, problem);
      // What an attempt has found missing has been put back.
      else if (found !== undefined && LOOKED_AT.includes(found)) this.#note(uid, undefined);
    }
    this.#forgetAllBut(vms);
    const before = [...this.#missing.values()].map(({ message }) => message).join();
    this.#missing = missing;
    if ([...missing.values()].map(({ message }) => message).join() !== before) onChange();
  }

  #forgetAllBut(vms: readonly Vm[]): void {
    const uids = new Set(vms.map(({ definition }) => definition.uid));
    for (const uid of this.#found.keys()) if (!uids.has(uid)) this.#found.delete(uid);
  }
}

/** None of one whose next start takes others than its spec has. */
function filesOf({ definition, drift }: Vm): readonly string[] {
  if (drift.includes('volumes')) return [];
  const { volumes = [], kernel } = machineToStart(definition);
  return [...volumes.map(pathOf), kernel?.path, kernel?.initrd].filter(
    (path) => path !== undefined,
  );
}

function lossOf({ definition: { name } }: Vm, lost: readonly string[]): StartProblem {
  const files = lost.join(' and ');
  const message = `Cannot start VM ${name}: ${files} ${lost.length === 1 ? 'does' : 'do'} not exist on this node; put the file there or correct the path`;
  return { reason: 'IMAGE_NOT_FOUND', message };
}

function hasNetworks({ definition }: Vm): boolean {
  return (definition.spec.template.spec.networks ?? []).length > 0;
}

function bridgeLossOf(
  { definition: { name, spec }, drift }: Vm,
  bridges: readonly string[],
): StartProblem | undefined {
  if (drift.includes('networks')) return undefined;
  const lacking = missingBridges(spec.template.spec, bridges);
  if (lacking.length === 0) return undefined;
  return { reason: 'NETWORK_NOT_FOUND', message: `Cannot start VM ${name}: ${summarize(lacking)}` };
}

interface EndedStart {
  readonly state: string;
  readonly error: StartProblem | undefined;
}

/** Undefined if it went well, or passes by itself. Whether files and bridges are there is looked at anew. */
function failureOf(start: EndedStart | undefined): StartProblem | undefined {
  if (start?.state !== 'failed' || start.error === undefined) return undefined;
  const { reason, message } = start.error;
  const isLasting = LASTING.some((lasting) => lasting === reason);
  return isLasting && !LOOKED_AT.includes(reason) ? { reason, message } : undefined;
}
