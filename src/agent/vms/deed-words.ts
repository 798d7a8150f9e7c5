import { AgentError, isHypervisorAway } from '../../core/errors.ts';
import type { VmRef } from './vm.ts';

/**
 * The work, or what it fails with. Where the hypervisor cannot be asked, what could not be done is what the caller has asked
 * for, and not the look at the VMs that comes before everything else.
 */
export async function naming<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isHypervisorAway(error) || !(error instanceof AgentError)) throw error;
    const { reason, message, metadata, retryAfterMs } = error;
    const why = message.replace(/^Cannot [^:]*: /, '');
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
    throw new AgentError(reason, `Cannot ${what}: ${why}`, { metadata, ...retry, cause: error });
  }
}

/** What users call a VM, as far as that can be read from what they have given. */
export function nameIn(manifest: unknown): string {
  const { metadata } = (manifest ?? {}) as { readonly metadata?: Partial<VmRef> };
  return nameOfRef({ namespace: metadata?.namespace || 'default', name: metadata?.name ?? '' });
}

export function nameOfRef({ namespace, name }: Pick<VmRef, 'namespace' | 'name'>): string {
  return `VM ${namespace}/${name}`;
}
