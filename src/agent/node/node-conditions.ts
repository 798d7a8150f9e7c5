import type { Condition, ConditionStatus } from '../reports/report.ts';
import { isFinal, type NodeShutdown } from '../shutdown/node-shutdown.ts';
import { type DownVm, downText } from '../vms/down-vms.ts';
import type { ForeignVm } from '../vms/foreign-vms.ts';
import type { VmsObstacle } from '../vms/listed-vms.ts';
import { namesText, type UnreadVm } from '../vms/unread-vms.ts';
import { amountInMib } from './amounts.ts';
import type { MemoryAccount } from './capacity-ledger.ts';
import type { CertificateReport } from './certificate-report.ts';
import type { NodeSpec } from './node.ts';
import type { AcceleratorState } from './node-accelerator.ts';
import { isBroken, type StorageReport } from './storage-health.ts';

/** The connection to the hypervisor; `unknown` until the first attempt has ended. */
export interface Connection {
  readonly state: 'unknown' | 'connected' | 'disconnected';
  /** Why there is none; empty otherwise. */
  readonly message: string;
}

export interface NodeState {
  readonly connection: Connection;
  /** Why nothing can be told of VMs; undefined if it can. */
  readonly vmsObstacle: VmsObstacle | undefined;
  /** Those that could not be read since the agent started. */
  readonly unreadVms: readonly UnreadVm[];
  /** Those of them that nobody knows the owner of. */
  readonly unidentifiedVms: readonly UnreadVm[];
  /** Those that no agent has made. */
  readonly foreignVms: readonly ForeignVm[];
  /** Those that should run and do not. */
  readonly downVms: readonly DownVm[];
  readonly memory: MemoryAccount;
  readonly accelerator: AcceleratorState;
  readonly storage: StorageReport;
  /** Undefined where the node is alone, and needs none. */
  readonly certificate: CertificateReport | undefined;
  readonly spec: NodeSpec;
  readonly generation: number;
  /** Undefined while the host is not about to go down. */
  readonly shutdown: NodeShutdown | undefined;
}

type Aspect = Omit<Condition, 'lastTransitionAtMs' | 'observedGeneration'>;

/** The conditions of a node; one whose status did not change keeps its transition time. */
export function nodeConditions(
  state: NodeState,
  previous: readonly Condition[],
  nowMs: number,
): readonly Condition[] {
  const aspects = [
    ready(state),
    schedulable(state),
    hypervisorConnected(state),
    storageHealthy(state),
    certificateValid(state),
    vmsIdentified(state),
    memoryAvailable(state),
    acceleratorAvailable(state),
    vmsRunning(state),
  ];
  if (state.shutdown !== undefined) aspects.push(shuttingDown(state.shutdown));
  return aspects.map((aspect) => {
    const before = previous.find(({ type }) => type === aspect.type);
    const lastTransitionAtMs = before?.status === aspect.status ? before.lastTransitionAtMs : nowMs;
    return { ...aspect, lastTransitionAtMs, observedGeneration: state.generation };
  });
}

function ready({ connection, vmsObstacle, unreadVms, storage }: NodeState): Aspect {
  const type = 'Ready';
  if (connection.state !== 'connected') {
    const message = connection.message || 'The hypervisor has not been reached yet';
    return { type, status: 'false', reason: 'HypervisorNotConnected', message };
  }
  if (vmsObstacle !== undefined) {
    const { reason, message } = vmsObstacle;
    return { type, status: 'false', reason, message };
  }
  if (isBroken(storage)) {
    return { type, status: 'false', reason: 'JournalNotWritable', message: storage.message };
  }
  // The others can be worked with.
  if (unreadVms.length > 0) {
    const message = `libvirt cannot describe ${unreadVms.length} of its VMs: ${namesText(unreadVms)}; those of this node are Unknown until it can`;
    return { type, status: 'true', reason: 'VmsNotRead', message };
  }
  return { type, status: 'true', reason: 'Ready', message: '' };
}

/** Whether new VMs may come. */
function schedulable({ spec, shutdown }: NodeState): Aspect {
  const type = 'Schedulable';
  if (shutdown !== undefined) {
    return { type, status: 'false', reason: 'ShuttingDown', message: 'It is being shut down' };
  }
  if (!spec.cordon) return { type, status: 'true', reason: 'Open', message: '' };
  return { type, status: 'false', reason: 'Cordoned', message: spec.cordonReason };
}

/** There only while it is so. */
function shuttingDown({ isDone, guests, deadlineMs }: NodeShutdown): Aspect {
  const type = 'ShuttingDown';
  const off = guests.filter(isFinal).length;
  const count = `${off} of the ${guests.length} VMs that were on are off`;
  if (isDone) {
    const message = `${count}. Nothing is started until it has booted again, or the shutdown is called off`;
    return { type, status: 'true', reason: 'Done', message };
  }
  const at = new Date(deadlineMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const message = `${count}. The power of the others is cut at ${at}`;
  return { type, status: 'true', reason: 'WaitingForGuests', message };
}

function hypervisorConnected({ connection }: NodeState): Aspect {
  const type = 'HypervisorConnected';
  const { message } = connection;
  const byState = {
    unknown: { status: 'unknown', reason: 'Connecting' },
    connected: { status: 'true', reason: 'Connected' },
    disconnected: { status: 'false', reason: 'Disconnected' },
  } as const satisfies Record<Connection['state'], { status: ConditionStatus; reason: string }>;
  return { type, ...byState[connection.state], message };
}

function storageHealthy({ storage: { reason, message } }: NodeState): Aspect {
  const status = reason === 'Healthy' ? 'true' : 'false';
  return { type: 'StorageHealthy', status, reason, message };
}

/** Whether others take the node for what it is. Whoever is on the node needs no certificate. */
function certificateValid({ certificate }: NodeState): Aspect {
  const type = 'CertificateValid';
  if (certificate === undefined) return { type, status: 'true', reason: 'NotNeeded', message: '' };
  const { reason, message } = certificate;
  return { type, status: reason === 'Refused' ? 'false' : 'true', reason, message };
}

/** Whether it is known of each VM whose it is. If not, that blocks nothing by itself. */
function vmsIdentified({ vmsObstacle, unidentifiedVms }: NodeState): Aspect {
  const type = 'VirtualMachinesIdentified';
  if (unidentifiedVms.length > 0) {
    const message = `libvirt cannot describe ${unidentifiedVms.length} VMs that this node is not known to own, so they are not listed: ${namesText(unidentifiedVms)}; look with "virsh dumpxml" and the uid on the node for what they wait for`;
    return { type, status: 'false', reason: 'VmsNotRead', message };
  }
  if (vmsObstacle !== undefined) return unknownFor(type, vmsObstacle);
  return { type, status: 'true', reason: 'Identified', message: '' };
}

function unknownFor(type: string, { reason, message }: VmsObstacle): Aspect {
  return { type, status: 'unknown', reason, message };
}

/** Whether VMs have been given no more memory than they may have: others' VMs come without asking. */
function memoryAvailable({ vmsObstacle, memory, foreignVms }: NodeState): Aspect {
  const type = 'MemoryAvailable';
  if (vmsObstacle !== undefined) return unknownFor(type, vmsObstacle);
  const { allocatableBytes, allocatedBytes, foreignBytes } = memory;
  const all = amountInMib(allocatableBytes, 'down');
  const others = `VMs that no agent has made have ${amountInMib(foreignBytes, 'up')} of the ${all} of memory that VMs may have: ${namesText(foreignVms)}`;
  if (allocatedBytes > allocatableBytes) {
    const given = `VMs have been given ${amountInMib(allocatedBytes, 'up')} of memory, more than the ${all} that they may have`;
    const why = foreignBytes > 0 ? `; ${others}` : '';
    const message = `${given}${why}; stop some or move them away, or the kernel may kill one`;
    return { type, status: 'false', reason: 'Overcommitted', message };
  }
  if (foreignBytes > 0) {
    return { type, status: 'true', reason: 'SharedWithOthers', message: others };
  }
  return { type, status: 'true', reason: 'Available', message: '' };
}

/** Whether VMs run on what they should. */
function acceleratorAvailable({ accelerator: { wanted, finding } }: NodeState): Aspect {
  const type = 'AcceleratorAvailable';
  if (wanted === 'tcg') return { type, status: 'true', reason: 'TcgConfigured', message: '' };
  if (finding === undefined) {
    const message = 'It is being found out whether guests boot with KVM; new VMs wait for that';
    return { type, status: 'unknown', reason: 'Probing', message };
  }
  if (finding.boots) return { type, status: 'true', reason: 'KvmBoots', message: '' };
  const isWanted = wanted === 'kvm';
  const effect = isWanted ? 'VMs cannot start' : 'new VMs are emulated (TCG) and slow';
  const advice = `repair KVM (nested virtualization of this machine, kernel, firmware), or set hypervisor.accelerator to tcg${isWanted ? '' : ' if that is meant'}`;
  const message = `KVM boots no guest here: ${finding.why}; ${effect}; ${advice}`;
  return { type, status: 'false', reason: 'KvmBootsNothing', message };
}

/** Whether all VMs run that should. */
function vmsRunning({ vmsObstacle, downVms }: NodeState): Aspect {
  const type = 'VirtualMachinesRunning';
  if (vmsObstacle !== undefined) return unknownFor(type, vmsObstacle);
  if (downVms.length === 0) return { type, status: 'true', reason: 'AllRun', message: '' };
  const count =
    downVms.length === 1 ? '1 VM that should run does' : `${downVms.length} VMs that should run do`;
  const message = `${count} not: ${downText(downVms)}; novactl vm get NAME -o yaml says what each waits for`;
  return { type, status: 'false', reason: 'SomeDoNot', message };
}
