import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { type HypervisorDomains, isSplit } from '../../drivers/hypervisor-domains.ts';

/** The step of a shutdown from which on it is up to the guest. */
export const WAITING_FOR_GUEST = 'waiting-for-guest';

/** Keeps with a VM what a caller has last asked for. */
export async function intend(
  domains: Pick<HypervisorDomains, 'setFacts'>,
  { uid, intent: before }: VmDefinition,
  intent: VmDefinition['intent'],
  signal: AbortSignal,
): Promise<void> {
  if (before !== intent) await domains.setFacts(uid, { intent }, signal);
}

/** Must be called, under the VM's lock, before its power is cut: what is lost with one half is lost for the guest. */
export async function assertWhole(
  domains: Pick<HypervisorDomains, 'list'>,
  { uid, name }: VmDefinition,
  signal: AbortSignal,
): Promise<void> {
  // One that hangs is listed all the same, and its power can be cut.
  const listed = await domains.list(signal);
  const now = listed.find((candidate) => candidate.uid === uid);
  if (now === undefined || !isSplit(now)) return;
  throw new AgentError(
    'MIGRATION_PAST_SWITCHOVER',
    `Cannot cut the power of VM ${name}: its memory is on two nodes, and neither half is worth anything without the other; mend the link between the nodes and wait for the rest of its memory; if the other node is off for good, the run of the VM is lost, and its disks are not: novactl migration settle ID --node-is-off NODE (novactl migration list has both) powers it off, so that it can be started again`,
    { metadata: { vmId: uid } },
  );
}
