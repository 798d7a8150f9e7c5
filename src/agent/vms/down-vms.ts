import type { Vm } from './vm.ts';

/** A VM that should run and does not, and why in one word. */
export interface DownVm {
  readonly namespace: string;
  readonly name: string;
  readonly reason: string;
}

/** It is about to be as it should. */
const PASSING: readonly string[] = ['Starting', 'ShuttingDown', 'NodeGoingDown'];
/** It is on and its guest stands still, which nobody has asked for. */
const STUCK: readonly string[] = [
  'IoError',
  'Watchdog',
  'GuestCrashed',
  'ApiError',
  'PostCopyFailed',
];
const MOST_NAMES = 5;

/** Those of which it is known; one that cannot be asked after may be running. */
export function listDown(vms: readonly Vm[]): readonly DownVm[] {
  return vms.flatMap((vm) => {
    const reason = whyDown(vm);
    if (reason === undefined) return [];
    const { namespace, name } = vm.definition;
    return [{ namespace, name, reason }];
  });
}

/** Their names and why, for people. */
export function downText(vms: readonly DownVm[]): string {
  const named = vms
    .slice(0, MOST_NAMES)
    .map(({ namespace, name, reason }) => `${namespace}/${name} (${reason})`);
  return `${named.join(', ')}${vms.length > MOST_NAMES ? ' and others' : ''}`;
}

function whyDown({ phase, reason, conditions }: Vm): string | undefined {
  if ((phase === 'paused' || phase === 'running') && STUCK.includes(reason)) return reason;
  const fulfilled = conditions.find(({ type }) => type === 'RunStrategyFulfilled');
  if (fulfilled?.status !== 'false' || PASSING.includes(fulfilled.reason)) return undefined;
  return fulfilled.reason;
}
