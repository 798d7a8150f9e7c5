import type { AgentError } from '../../core/errors.ts';
import { DEDICATED_CPUS } from '../node/amounts.ts';
import type { Lack } from './restart-report.ts';

/** What there was too little of; undefined for a start that has failed for another reason. */
export function lackOf({
  reason,
  metadata,
}: Pick<AgentError, 'reason' | 'metadata'>): Lack | undefined {
  if (reason !== 'NODE_CAPACITY_EXCEEDED') return undefined;
  const { resource = '' } = metadata;
  if (resource === DEDICATED_CPUS) return 'cpus';
  return resource.startsWith('hugepages') ? 'hugepages' : 'memory';
}
