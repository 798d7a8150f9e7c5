import type { RunStrategy, VmSpec } from './virtual-machine.ts';

/** When a VM runs: `running` is a shorthand, and Always is meant where nothing is said. */
export function runStrategyOf(spec: Pick<VmSpec, 'running' | 'runStrategy'>): RunStrategy {
  return spec.runStrategy ?? (spec.running === false ? 'Halted' : 'Always');
}

/** Whether a VM of this strategy is started when it is made, or when it is given the strategy. */
export function startsAtOnce(strategy: RunStrategy): boolean {
  return strategy === 'Always' || strategy === 'RerunOnFailure' || strategy === 'Once';
}
