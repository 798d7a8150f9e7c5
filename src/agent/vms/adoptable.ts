import { DNS_LABEL, DNS_LABEL_RULE } from '../../core/dns-label.ts';
import { AgentError, hasReason, type Reason } from '../../core/errors.ts';
import { parseVirtualMachine, type WantedVm } from '../../core/resources/parse-virtual-machine.ts';
import type { AdoptableVm, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { VmRef } from './vm.ts';

/** What is said of a VM of somebody else's that stays theirs. */
export function cannotAdopt(
  reason: Reason,
  domain: string,
  why: string,
  vmId?: string,
): AgentError {
  const metadata = { domain, ...(vmId !== undefined && { vmId }) };
  const retry = reason === 'VM_BUSY' || reason === 'STATE_NOT_READY' ? { retryAfterMs: 1_000 } : {};
  return new AgentError(reason, `Cannot adopt ${JSON.stringify(domain)}: ${why}`, {
    metadata,
    ...retry,
  });
}

/** What another part of the agent has refused, in words about what was asked for. */
export function inOtherWords(domain: string, error: unknown): unknown {
  if (!(error instanceof AgentError)) return error;
  const { reason, metadata, violations, retryAfterMs } = error;
  const why = error.message.replace(/^Cannot [^:]*: /, '');
  return new AgentError(reason, `Cannot adopt ${JSON.stringify(domain)}: ${why}`, {
    metadata: { ...metadata, domain },
    violations,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    cause: error,
  });
}

export async function renamed<T>(domain: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw inOtherWords(domain, error);
  }
}

/** Its XML may be anything. */
export async function readable<T>(domain: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!hasReason(error, 'HYPERVISOR_FAILURE')) throw inOtherWords(domain, error);
    const why = error instanceof AgentError ? error.message.replace(/^Cannot [^:]*: /, '') : '';
    throw cannotAdopt(
      'VM_NOT_ADOPTABLE',
      domain,
      `what libvirt says of it cannot be read (${why}); look with "virsh dumpxml" on the node, and take out with "virsh edit" what should not be there`,
    );
  }
}

/** Fails with INVALID_REQUEST for what no VM can be called. */
export function assertNameFit(domain: string, { name, namespace }: VmRef): void {
  for (const [option, text] of [
    ['name', name],
    ['namespace', namespace],
  ] as const) {
    if (DNS_LABEL.test(text)) continue;
    throw new AgentError(
      'INVALID_REQUEST',
      `Cannot adopt ${JSON.stringify(domain)}: a VM cannot have the ${option} ${JSON.stringify(text)}, which must be ${DNS_LABEL_RULE}; give it one with --${option}, libvirt's own name for it stays`,
      {
        metadata: { domain },
        violations: [{ field: option, description: `must be ${DNS_LABEL_RULE}` }],
      },
    );
  }
}

/** The one that libvirt calls so, ours or not. */
export function findDomain(listed: readonly HypervisorVm[], domain: string): HypervisorVm {
  const found = listed.find(({ hypervisorName }) => hypervisorName === domain);
  if (found === undefined) {
    const others = listed.filter((one) => one.isRead && one.definition === undefined);
    throw noSuchDomain(
      domain,
      others.map(({ hypervisorName }) => hypervisorName),
    );
  }
  if (found.isRead) return found;
  throw cannotAdopt(
    'STATE_NOT_READY',
    domain,
    `libvirt could not describe it; try again, and if it stays, look with "virsh dumpxml ${found.uid}" on the node for what it waits for`,
    found.uid,
  );
}

/** More would be a list that nobody reads. */
const MOST_NAMES = 10;

/** `others` are those that no agent has made. */
export function noSuchDomain(domain: string, others: readonly string[] = []): AgentError {
  const names = others
    .toSorted()
    .slice(0, MOST_NAMES)
    .map((name) => JSON.stringify(name));
  const more = others.length > MOST_NAMES ? ' and others' : '';
  const rest =
    names.length === 0
      ? 'nor any other that no agent has made; see "virsh list --all" there'
      : `those that no agent has made: ${names.join(', ')}${more}`;
  return cannotAdopt(
    'VM_NOT_FOUND',
    domain,
    `libvirt on this node has no domain of that name, ${rest}`,
  );
}

export function busy(domain: string): AgentError {
  return cannotAdopt(
    'VM_BUSY',
    domain,
    'it, or its name here, is in use by something that goes on; try again when that has ended',
  );
}

/** Fails with VM_NOT_ADOPTABLE, or VM_BUSY for what passes by itself. */
export function assertAdoptable(
  domain: string,
  { uid, state, persistent }: Pick<HypervisorVm, 'uid' | 'state' | 'persistent'>,
  { isOther, isSaved, isBusy }: AdoptableVm,
): void {
  if (state === 'incoming') {
    throw cannotAdopt('VM_BUSY', domain, 'it is arriving by a migration; try again then', uid);
  }
  const refuse = (why: string): AgentError => cannotAdopt('VM_NOT_ADOPTABLE', domain, why, uid);
  if (!persistent) {
    throw refuse(
      `it is transient: libvirt forgets it when it stops; make it stay first, with: virsh dumpxml --inactive --security-info ${uid} > FILE && virsh define FILE`,
    );
  }
  if (isBusy) {
    throw cannotAdopt(
      'VM_BUSY',
      domain,
      `libvirt is migrating, saving or backing it up; try again when "virsh domjobinfo ${uid}" says that nothing is under way`,
      uid,
    );
  }
  if (isSaved) {
    throw refuse(
      `its memory is saved in a file, which has the VM as it was without an agent; start it with "virsh start ${uid}", or give that memory up with "virsh managedsave-remove ${uid}"`,
    );
  }
  if (isOther) {
    throw refuse('it is no guest of the architecture x86_64, and manifests speak of no other');
  }
}

/** A VM in the words of a manifest. Fails with VM_NOT_ADOPTABLE if no manifest can be like that. */
export function wantedOfAdoptable(
  domain: string,
  { name, namespace, uid }: VmRef,
  { machine, isAutostarted }: AdoptableVm,
): WantedVm {
  const manifest = {
    metadata: { name, namespace, uid },
    spec: {
      // Nobody has asked for it to be started again when its guest powers off, but when the host boots.
      runStrategy: isAutostarted ? 'RerunOnFailure' : 'Manual',
      template: { spec: machine },
    },
  };
  try {
    return parseVirtualMachine(manifest);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const hasNothingToBoot = error.violations.some(({ field }) => field.endsWith('.spec.image'));
    const why = hasNothingToBoot
      ? 'none of its disks is one that a manifest can speak of (a file or block device of the node on virtio, scsi or sata, with a cache mode that manifests have), and one is needed; virsh edit can change the bus or cache of a disk'
      : error.violations.map(({ field, description }) => `${field} ${description}`).join('; ');
    throw new AgentError('VM_NOT_ADOPTABLE', `Cannot adopt ${JSON.stringify(domain)}: ${why}`, {
      metadata: { domain, ...(uid !== undefined && { vmId: uid }) },
      violations: error.violations,
      cause: error,
    });
  }
}

/** What changes of it although all of it stays. */
export function adoptionNotes({ isAutostarted }: AdoptableVm): readonly string[] {
  return isAutostarted
    ? [
        'libvirt has started it whenever the host has booted (autostart), and does so no more: the run strategy RerunOnFailure has the agent do that, and start it again when it crashes',
      ]
    : [];
}
