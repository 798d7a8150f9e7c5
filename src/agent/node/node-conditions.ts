import type { JournalHealth } from '../journal/journal.ts';
import type { Condition, ConditionStatus } from '../reports/report.ts';
import type { NodeSpec } from './node.ts';

/** The connection to the hypervisor; `unknown` until the first attempt has ended. */
export interface Connection {
  readonly state: 'unknown' | 'connected' | 'disconnected';
  /** Why there is none; empty otherwise. */
  readonly message: string;
}

export interface NodeState {
  readonly connection: Connection;
  readonly vmsListed: boolean;
  /** The hypervisor's names of VMs that could not be read since the agent started. */
  readonly unreadVms: readonly string[];
  readonly journal: JournalHealth;
  readonly spec: NodeSpec;
  readonly generation: number;
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
  ];
  return aspects.map((aspect) => {
    const before = previous.find(({ type }) => type === aspect.type);
    const lastTransitionAtMs = before?.status === aspect.status ? before.lastTransitionAtMs : nowMs;
    return { ...aspect, lastTransitionAtMs, observedGeneration: state.generation };
  });
}

const MOST_NAMES = 5;

function ready({ connection, vmsListed, unreadVms, journal }: NodeState): Aspect {
  const type = 'Ready';
  if (connection.state !== 'connected') {
    const message = connection.message || 'The hypervisor has not been reached yet';
    return { type, status: 'false', reason: 'HypervisorNotConnected', message };
  }
  if (!vmsListed) {
    const message = 'The VMs have not been listed and read since the agent started';
    return { type, status: 'false', reason: 'VmsNotListed', message };
  }
  if (journal.reason === 'WriteFailed') {
    return { type, status: 'false', reason: 'JournalNotWritable', message: journal.message };
  }
  // The others can be worked with.
  if (unreadVms.length > 0) {
    const message = `libvirt cannot describe ${unreadVms.length} of its VMs, which are not listed until it can: ${unreadVms.slice(0, MOST_NAMES).join(', ')}${unreadVms.length > MOST_NAMES ? ' and others' : ''}`;
    return { type, status: 'true', reason: 'VmsNotRead', message };
  }
  return { type, status: 'true', reason: 'Ready', message: '' };
}

/** Whether new VMs may come. */
function schedulable({ spec }: NodeState): Aspect {
  const type = 'Schedulable';
  if (!spec.cordon) return { type, status: 'true', reason: 'Open', message: '' };
  return { type, status: 'false', reason: 'Cordoned', message: spec.cordonReason };
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

function storageHealthy({ journal }: NodeState): Aspect {
  const status = journal.reason === 'Healthy' ? 'true' : 'false';
  return { type: 'StorageHealthy', status, reason: journal.reason, message: journal.message };
}
