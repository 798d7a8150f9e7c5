import { type HypervisorVm, isOn } from '../../drivers/hypervisor-domains.ts';
import { endKind, type RunEndCause } from './run-ends.ts';

/** How a run has ended. */
export interface RunEnd {
  readonly cause: RunEndCause;
  /** Who asked for it; empty if nobody did, or if that is not known. */
  readonly by: string;
  /** When it was first seen, in milliseconds since 1970. */
  readonly atMs: number;
}

/** What is known of the runs of a VM on this node, whatever libvirt has forgotten. */
export interface RunRecord {
  readonly uid: string;
  /** Boot of the host in which the VM was last seen to come on or to go off. */
  readonly bootId: string;
  readonly isOn: boolean;
  /** Since when it is on or off here, in milliseconds since 1970; 0 if it was so when it was first seen, and had not just arrived. */
  readonly sinceMs: number;
  /** How its last run has ended, or why there was none; undefined if it has been on for as long as it is known. */
  readonly end: RunEnd | undefined;
}

/** A request to this agent that has ended a run. */
export interface RequestBehind {
  /** Who asked. */
  readonly by: string;
  /** A start was asked for since. */
  readonly isSuperseded: boolean;
}

/** What there is to go by when a VM is looked at. */
export interface RunSighting {
  readonly vm: Pick<HypervisorVm, 'uid' | 'state' | 'stateReason'>;
  readonly bootId: string;
  readonly nowMs: number;
  /** It was defined while this agent ran, so that no run of it can have been missed. */
  readonly isNew: boolean;
  /** libvirt told that the host has made its hypervisor process end. */
  readonly isTerminated: boolean;
  /** Who has said that the host is about to go down; undefined while it is not. */
  readonly nodeShutdownBy: string | undefined;
  /** The request that has ended a run which began then, if one has. */
  readonly requestBehind: (
    verb: 'shutdown' | 'destroy',
    runSinceMs: number,
  ) => RequestBehind | undefined;
}

/** What is known of a VM's runs once it was looked at; the same object if that is nothing new. */
export function nextRecord(before: RunRecord | undefined, seen: RunSighting): RunRecord {
  const { vm, bootId, nowMs } = seen;
  if (!isOn(vm)) return whenOff(before, seen);
  if (before?.isOn === true && before.bootId === bootId) return before;
  const missed: RunEnd | undefined =
    before?.isOn === true ? { cause: 'node-rebooted', by: '', atMs: nowMs } : before?.end;
  const isFound = before === undefined && vm.stateReason !== 'migrated';
  const sinceMs = isFound ? 0 : nowMs;
  return { uid: vm.uid, bootId, isOn: true, sinceMs, end: missed };
}

function whenOff(before: RunRecord | undefined, seen: RunSighting): RunRecord {
  const { vm, bootId, nowMs } = seen;
  const known = before?.isOn === false ? before.end : undefined;
  // The hypervisor says nothing new of that end, or has forgotten it. Another word means a run that nobody saw.
  if (before !== undefined && known !== undefined && (isSilent(vm) || says(vm, known.cause))) {
    return before;
  }
  const end = { ...whyOff(before, seen), atMs: nowMs };
  const sinceMs = before === undefined ? 0 : nowMs;
  return { uid: vm.uid, bootId, isOn: false, sinceMs, end };
}

function whyOff(
  before: RunRecord | undefined,
  { vm, bootId, isNew, isTerminated, nodeShutdownBy, requestBehind }: RunSighting,
): Pick<RunEnd, 'cause' | 'by'> {
  const runSinceMs = before?.sinceMs ?? 0;
  if (vm.state === 'crashed') return { cause: 'guest-crashed', by: '' };
  switch (vm.stateReason) {
    case 'shutdown': {
      if (isTerminated) return { cause: 'terminated', by: '' };
      const request = requestBehind('shutdown', runSinceMs);
      if (request === undefined && nodeShutdownBy !== undefined) {
        return { cause: 'node-shutdown', by: nodeShutdownBy };
      }
      if (request === undefined) return { cause: 'guest-shutdown', by: '' };
      const { by, isSuperseded } = request;
      return { cause: isSuperseded ? 'shutdown-superseded' : 'shutdown', by };
    }
    case 'destroyed': {
      const request = requestBehind('destroy', runSinceMs);
      if (request === undefined && nodeShutdownBy !== undefined) {
        return { cause: 'node-shutdown-power-cut', by: nodeShutdownBy };
      }
      if (request === undefined) return { cause: 'destroyed-by-other', by: '' };
      return { cause: 'destroyed', by: request.by };
    }
    case 'failed':
      return { cause: 'start-failed', by: '' };
    case 'crashed':
    case 'saved':
    case 'migrated':
    case 'from-snapshot':
    case 'daemon-restarted':
      return { cause: vm.stateReason, by: '' };
    default:
      if (before === undefined) return { cause: isNew ? 'never-started' : 'no-record', by: '' };
      return { cause: before.bootId === bootId ? 'not-seen' : 'node-rebooted', by: '' };
  }
}

/** libvirt forgets why a VM is off when it is restarted. */
function isSilent({ state, stateReason }: RunSighting['vm']): boolean {
  return state === 'stopped' && stateReason === 'unknown';
}

function says({ state, stateReason }: RunSighting['vm'], cause: RunEndCause): boolean {
  if (state === 'crashed') return cause === 'guest-crashed';
  return endKind(cause).stateReason === stateReason;
}
