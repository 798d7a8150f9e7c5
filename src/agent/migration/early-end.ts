import type { Reason } from '../../core/errors.ts';
import type { VmStateReason } from '../../drivers/hypervisor-domains.ts';
import { commandNameOf } from '../vms/vm-words.ts';
import type { OutgoingContext } from './outgoing-context.ts';

/** How a migration has ended that has not brought the VM to its destination. */
export interface EarlyEnd {
  readonly phase: 'failed' | 'cancelled';
  readonly reason: Reason;
  /** Also read at the destination, so it names nodes. */
  readonly message: string;
}

/** Why the VM stays where it is. */
export function causeOf(context: OutgoingContext): EarlyEnd {
  const { nodeName } = context.options;
  const { offReason, failure, record, otherNodeOff } = context;
  const commandName = commandNameOf({ namespace: record.vmNamespace, name: record.vmName });
  if (otherNodeOff?.memoryLost === true) {
    return {
      phase: 'failed',
      reason: 'VM_NOT_RUNNING',
      message: `Memory of it was lost with node ${record.peerNode}, which is off for good by the word of ${otherNodeOff.saidBy}; it is off, on node ${nodeName}, with its disks as they were. To have it run again: novactl vm start ${commandName}`,
    };
  }
  if (otherNodeOff !== undefined && offReason === undefined) {
    return {
      phase: 'failed',
      reason: 'MIGRATION_FAILED',
      message: `Node ${record.peerNode} is off for good by the word of ${otherNodeOff.saidBy}; the VM stays on node ${nodeName}, and whatever that node has of it is not the VM any more`,
    };
  }
  if (context.cancelRequested) {
    return {
      phase: 'cancelled',
      reason: 'MIGRATION_CANCELLED',
      message: `Cancelled by a caller; the VM stays on node ${nodeName}`,
    };
  }
  if (offReason !== undefined) {
    return {
      phase: 'failed',
      reason: 'VM_NOT_RUNNING',
      message: `${wayOff(offReason)} while it moved; it is off, on node ${nodeName}. To have it run there again: novactl vm start ${commandName}`,
    };
  }
  if (context.timedOut) {
    return {
      phase: 'failed',
      reason: 'MIGRATION_TIMEOUT',
      message: `It had not switched over in the time allowed; the VM stays on node ${nodeName}`,
    };
  }
  return {
    phase: 'failed',
    reason: failure?.reason ?? 'MIGRATION_FAILED',
    message:
      failure?.message ??
      `The migration ended while the agent was away; the VM stays on node ${nodeName}`,
  };
}

function wayOff(reason: VmStateReason): string {
  switch (reason) {
    case 'shutdown':
      return 'It was shut down';
    case 'destroyed':
      return 'Its power was cut';
    case 'crashed':
      return 'Its QEMU ended unexpectedly';
    default:
      return 'It went off';
  }
}

export function lossOf({ record, options }: OutgoingContext): EarlyEnd {
  return {
    phase: 'failed',
    reason: 'VM_NOT_FOUND',
    message: `The VM is neither on node ${options.nodeName} nor on ${record.peerNode}: it was stopped or removed while it migrated; make it anew from its manifest: novactl vm apply -f FILE`,
  };
}
