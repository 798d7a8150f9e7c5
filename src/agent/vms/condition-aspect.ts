import type { ConditionStatus } from '../reports/report.ts';

/** One condition of a VM, without since when it is so. */
export type Aspect = readonly [
  type: string,
  status: ConditionStatus,
  reason: string,
  message: string,
];
