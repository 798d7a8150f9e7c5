import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type {
  DriftedPart,
  HypervisorDomains,
  HypervisorVm,
} from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import { mayBePutBack } from './drift.ts';
import type { Ownership } from './ownership.ts';

export interface DriftControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'define'>;
  readonly ownership: Pick<Ownership, 'isOwner' | 'isStale' | 'isStray'>;
  readonly locks: KeyLocks;
  readonly onChange: () => void;
  readonly log: Logger;
}

/** Whoever has the VM now is soon done with it. */
const BUSY_MS = 1_000;

/**
 * Puts back what somebody has changed of a VM's definition behind the agent's back: what its next start takes is what its
 * manifest says. What it runs with is not touched. Disks are left as they are: a snapshot that was taken with virsh has the
 * newest data, and putting back the disk below it would lose them.
 */
export class DriftController implements Controller {
  readonly name = 'drift';
  readonly inputs: readonly Input[] = ['domains', 'ownership'];
  readonly outputs: readonly Output[] = ['drifted-definitions'];
  readonly #options: DriftControllerOptions;

  constructor(options: DriftControllerOptions) {
    this.#options = options;
  }

  concern({ domain, vm }: SeenVm): string | undefined {
    if (domain === undefined || vm === undefined || vm.migration !== undefined) return undefined;
    return this.#isOurs(domain) ? domain.drift.join(' ') : undefined;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, locks, onChange, log } = this.#options;
    using lock = locks.tryAcquire(vmUid, 'putting back of its definition', { isByItself: true });
    if (lock === undefined) return { afterMs: BUSY_MS };
    const now = await domains.find(vmUid, signal);
    if (now?.definition === undefined || !this.#isOurs(now)) return undefined;
    const { definition, drift } = now;
    await domains.define(definition, signal);
    log.warn({ vmId: vmUid, drift }, 'A definition that somebody else had changed was put back');
    onChange();
    const after = await domains.find(vmUid, signal);
    if (after !== undefined && mayBePutBack(after.drift)) throw cannotPutBack(vmUid, after.drift);
    return undefined;
  }

  /** Whether it has drifted from what this node wants of it. */
  #isOurs({ uid, state, drift, definition }: HypervisorVm): boolean {
    const { ownership } = this.#options;
    if (definition === undefined || !mayBePutBack(drift) || state === 'incoming') return false;
    return (
      ownership.isOwner(uid) && !ownership.isStale(definition) && !ownership.isStray(definition)
    );
  }
}

function cannotPutBack(vmUid: string, drift: readonly DriftedPart[]): AgentError {
  return new AgentError(
    'HYPERVISOR_FAILURE',
    `Cannot put back the definition of the VM: libvirt keeps other values than its manifest has (${drift.join(', ')}); compare them with "virsh dumpxml --inactive ${vmUid}"`,
    { metadata: { vmId: vmUid } },
  );
}
