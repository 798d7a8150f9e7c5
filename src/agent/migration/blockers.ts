import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { MigrationObstacle } from '../../drivers/hypervisor-jobs.ts';
import { commandNameOf } from '../vms/vm-words.ts';
import type { MigrationBlocker } from './migration.ts';

/** Throws MIGRATION_BLOCKED (or the only blocker's own reason) if anything stands in the way. */
export function assertUnblocked(blockers: readonly MigrationBlocker[], vmName: string): void {
  const [first] = blockers;
  if (first === undefined) return;
  const only = blockers.length === 1;
  throw new AgentError(
    only ? first.reason : 'MIGRATION_BLOCKED',
    `Cannot migrate VM ${vmName}: ${blockers.map((blocker) => blocker.message).join('; ')}`,
    {
      metadata: { node: first.nodeName },
      violations: blockers.map((blocker) => ({
        field: blocker.subject === '' ? blocker.nodeName : blocker.subject,
        description: blocker.message,
      })),
    },
  );
}

/** What the hypervisor would not migrate, with what to do about it. */
export function blockerOf(
  obstacle: MigrationObstacle,
  { hypervisorName: domain }: HypervisorVm,
  nodeName: string,
): MigrationBlocker {
  const blocked = { reason: 'MIGRATION_BLOCKED', nodeName, subject: '' } as const;
  switch (obstacle.kind) {
    case 'snapshots':
      return {
        ...blocked,
        message: `it has ${obstacle.count} snapshots, with which it cannot be moved; see them with "virsh snapshot-list ${domain}" and delete them, or have the hypervisor forget them with "virsh snapshot-delete ${domain} NAME --metadata"`,
      };
    case 'block-job':
      return {
        ...blocked,
        message: `its disk ${obstacle.target} is being copied or merged; wait for that, or stop it with "virsh blockjob ${domain} ${obstacle.target} --abort"`,
        subject: obstacle.target,
      };
    case 'device':
      return {
        ...blocked,
        message: `it has a ${obstacle.description}, which cannot move with it; detach it with "virsh detach-device ${domain}", or shut the VM down`,
      };
    case 'lossy-memory':
      return { ...blocked, ...LOSSES[obstacle.cause] };
    default:
      return {
        ...blocked,
        reason: 'VM_BUSY',
        message: `it is being saved, dumped or backed up; wait until "virsh domjobinfo ${domain}" says that nothing is under way`,
      };
  }
}

const LOSSES = {
  start: {
    message:
      "its CPU is emulated by a QEMU before 9.0, which loses changes of a guest's memory on the way unless an agent has defined the VM before its start; change something of its manifest, such as a label, and restart it",
  },
  hugepages: {
    message:
      'its memory is in huge pages, of which QEMU before 9.0 loses some on the way where it runs VMs without KVM; shut it down, or give it ordinary pages and restart it',
    subject: 'spec.template.spec.memory.hugepages',
  },
  growth: {
    message:
      'its memory may become more while it runs, and of such memory QEMU before 9.0 loses changes on the way where it runs VMs without KVM; shut it down, or take memory.max out and restart it',
    subject: 'spec.template.spec.memory.max',
  },
} as const;

/** The guest would stay frozen there for ever: the deadline is kept here. */
export function frozenBlocker(definition: VmDefinition, nodeName: string): MigrationBlocker {
  const message = `the file systems of its guest are frozen, and are thawed here alone; wait for the end of that backup, or thaw them: novactl vm guest thaw ${commandNameOf(definition)}`;
  return { reason: 'VM_BUSY', message, nodeName, subject: 'spec.virtualMachine' };
}
