import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import type { Vm } from '../vms/vm.ts';
import { isOff } from '../vms/vm-phase.ts';
import { endKind, type RunEndCause } from './run-ends.ts';

/** What of a VM tells whether its run strategy wants it started or shut down. */
export type StrategyFacts = Pick<Vm, 'definition' | 'phase' | 'reason' | 'run'>;

/** Copies that another node owns. */
const COPIES: readonly string[] = ['StaleCopy', 'StrayCopy'];
/** Its run goes on elsewhere, or from a file that only a caller may use up. */
const HELD: readonly RunEndCause[] = ['migrated', 'saved'];

/** What a VM's run strategy asks for now; undefined if the VM is as it should be, or changing. */
export function wantedAct(vm: StrategyFacts): 'start' | 'shutdown' | undefined {
  const { definition, phase, run } = vm;
  const strategy = runStrategyOf(definition.spec);
  if (strategy === 'Halted') {
    return phase === 'running' || phase === 'paused' ? 'shutdown' : undefined;
  }
  const cause = run?.end?.cause;
  if (!mayStart(vm) || cause === undefined || HELD.includes(cause)) return undefined;
  // Whatever the strategy is: a caller has asked for a start that came too early to do anything.
  if (cause === 'shutdown-superseded') return 'start';
  if (strategy === 'Always') return 'start';
  return strategy === 'RerunOnFailure' && endKind(cause).isFailure ? 'start' : undefined;
}

/** Whether a VM that should run is held back, as it is not for a strategy to end what it waits for. */
export function isHeld(vm: StrategyFacts): boolean {
  const cause = vm.run?.end?.cause;
  const strategy = runStrategyOf(vm.definition.spec);
  return strategy === 'Always' && cause === 'saved' && mayStart(vm);
}

/** Whether it is off and the last that a caller has asked for was not that. */
function mayStart({ definition, phase, reason }: StrategyFacts): boolean {
  return isOff({ phase }) && definition.intent === 'on' && !COPIES.includes(reason);
}
