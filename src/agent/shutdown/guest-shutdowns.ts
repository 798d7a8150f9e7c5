import type { Vm } from '../vms/vm.ts';
import { isOff } from '../vms/vm-phase.ts';
import {
  type GuestShutdown,
  type GuestState,
  isFinal,
  type NodeShutdown,
} from './node-shutdown.ts';
import type { ShutdownMark } from './shutdown-mark.ts';

export interface GuestShutdownsOptions {
  readonly mark: Pick<ShutdownMark, 'record' | 'leftMs'>;
  /** The VMs as last listed; undefined until they were. Must cost nothing. */
  readonly listVms: () => readonly Vm[] | undefined;
  /** VMs that are arriving from other nodes. Must cost nothing. */
  readonly countArriving: () => number;
}

/** So long after the deadline the power of a VM is tried to be cut before that counts as failed. It is tried on after that. */
const CUT_PATIENCE_MS = 20_000;

/** What this agent has seen of a VM since the shutdown began. */
interface Seen {
  readonly vm: GuestShutdown['vm'];
  isCut: boolean;
  /** What is in its way, such as why the last thing that was tried with it failed; empty if nothing is. */
  obstacle: string;
}

/** What has become of the VMs that were on when the shutdown of the node began, or when this agent was started in the midst of it. */
export class GuestShutdowns {
  readonly #options: GuestShutdownsOptions;
  readonly #seen = new Map<string, Seen>();
  /** The VMs were listed since the shutdown began. */
  #isListed = true;

  constructor(options: GuestShutdownsOptions) {
    this.#options = options;
  }

  /** A VM is on. */
  note({ definition: { namespace, name, uid } }: Vm): void {
    if (this.#seen.has(uid)) return;
    this.#seen.set(uid, { vm: { namespace, name, uid }, isCut: false, obstacle: '' });
  }

  /** Its power was cut while it was on. */
  noteCut(vmUid: string): void {
    const seen = this.#seen.get(vmUid);
    if (seen !== undefined) seen.isCut = true;
  }

  /** Something is in its way, as what failed with it; empty once nothing is. */
  noteObstacle(vmUid: string, obstacle: string): void {
    const seen = this.#seen.get(vmUid);
    if (seen !== undefined) seen.obstacle = obstacle;
  }

  /** A shutdown begins, or goes on with another deadline: what was listed before does not count. */
  begin(): void {
    this.#isListed = false;
  }

  noteListed(): void {
    this.#isListed = true;
  }

  /** The shutdown is over. */
  forget(): void {
    this.#seen.clear();
  }

  /** Undefined while the host is not about to go down. */
  report(): NodeShutdown | undefined {
    const { mark, listVms, countArriving } = this.#options;
    if (mark.record === undefined) return undefined;
    const { requestedBy, startedAtMs, deadlineMs } = mark.record;
    const vms = listVms();
    for (const vm of vms ?? []) if (isOnHere(vm)) this.note(vm);
    const guests = [...this.#seen.values()]
      .map((seen) => this.#guest(seen, vms))
      .toSorted((left, right) => compare(left.vm, right.vm));
    const isKnown = vms !== undefined && this.#isListed;
    const isDone = isKnown && guests.every(isFinal) && countArriving() === 0;
    return { requestedBy, startedAtMs, deadlineMs, isDone, guests };
  }

  /** What would become of the VMs that are on now. */
  plan(timeoutMs: number, requestedBy: string): NodeShutdown {
    const nowMs = Date.now();
    const on = (this.#options.listVms() ?? []).filter(isOnHere);
    const guests = on.map((vm) => ({
      vm: identityOf(vm),
      state: 'planned' as const,
      message: obstacleOf(vm),
    }));
    const deadlineMs = nowMs + timeoutMs;
    return { requestedBy, startedAtMs: nowMs, deadlineMs, isDone: false, guests };
  }

  #guest({ vm, isCut, obstacle }: Seen, vms: readonly Vm[] | undefined): GuestShutdown {
    const now = vms?.find(({ definition }) => definition.uid === vm.uid);
    // Before the first listing nothing is known to be gone.
    if (now === undefined && vms === undefined)
      return { vm, state: 'waiting-for-guest', message: '' };
    if (now === undefined || isLeaving(now)) return { vm, state: 'gone', message: '' };
    if (isOff(now)) return { vm, state: isCut ? 'power-cut' : 'off', message: '' };
    return { vm, state: this.#stateOf(now), message: obstacle || obstacleOf(now) };
  }

  #stateOf({ migration }: Vm): GuestState {
    const { leftMs } = this.#options.mark;
    if (leftMs < -CUT_PATIENCE_MS) return 'failed';
    if (leftMs <= 0) return 'cutting-power';
    return migration === undefined ? 'waiting-for-guest' : 'waiting-for-migration';
  }
}

/** Whether a VM is on, or may be, and not about to be told as gone. */
export function isOnHere(vm: Vm): boolean {
  return !isOff(vm) && !isLeaving(vm);
}

/** It is gone already, and only that it has arrived is not known. */
function isLeaving({ phase, reason }: Vm): boolean {
  return phase === 'migrating' && reason === 'Leaving';
}

/** What will keep its guest from powering off. */
function obstacleOf({ phase, message, migration }: Vm): string {
  if (phase === 'unknown') return message;
  if (migration !== undefined) {
    return `It is on its way to node ${migration.targetNode}, which is waited for until half of the time is over, and then cancelled`;
  }
  if (phase !== 'paused') return '';
  return `It is paused, so its guest cannot power off, and its power is cut at the deadline. ${message}`;
}

function identityOf({ definition: { namespace, name, uid } }: Vm): GuestShutdown['vm'] {
  return { namespace, name, uid };
}

function compare(left: GuestShutdown['vm'], right: GuestShutdown['vm']): number {
  const [one, other] = [left, right].map(({ namespace, name }) => `${namespace}/${name}`);
  if (one === other) return 0;
  return (one ?? '') < (other ?? '') ? -1 : 1;
}
