import type { Reason } from './errors.ts';

/** Of what nobody can know beforehand, whatever is asked for. */
const ONLY_FOUND = [
  'HYPERVISOR_REFUSED',
  'HYPERVISOR_FAILURE',
  'STORAGE_FULL',
  'JOURNAL_FAILURE',
] as const satisfies readonly Reason[];

/** Nothing can be told or done without it. What has begun waits for it. */
const OF_HYPERVISOR = [
  'HYPERVISOR_UNREACHABLE',
  'HYPERVISOR_TIMEOUT',
] as const satisfies readonly Reason[];

const OF_FILES = [
  'IMAGE_NOT_FOUND',
  'IMAGE_INVALID',
  'IMAGE_IN_USE',
  'IMAGE_NOT_ALLOWED',
  'IMAGE_NOT_READABLE',
  'IMAGE_UNREACHABLE',
  'DEVICE_IN_USE',
] as const satisfies readonly Reason[];

/** Of where images are published. */
const OF_IMAGES = ['IMAGE_FETCH_FAILED'] as const satisfies readonly Reason[];

const OF_NETWORKS = ['NETWORK_NOT_FOUND'] as const satisfies readonly Reason[];

interface DeedReasons {
  /** A dry run, or the plan of a migration, finds these as well, and says the same sentence. */
  readonly foretold: readonly Reason[];
  /** Only the deed itself finds these. */
  readonly found: readonly Reason[];
}

/**
 * All that making, starting and moving a VM can end with, beside what is wrong with the request itself or its way to the
 * agent. docs/errors.md has the same list; tests provoke each.
 */
export const DEED_REASONS = {
  create: {
    foretold: [
      'INVALID_SPEC',
      'NOT_SUPPORTED',
      'FEATURE_NOT_SUPPORTED',
      'CPU_INCOMPATIBLE',
      ...OF_FILES,
      ...OF_IMAGES,
      ...OF_NETWORKS,
      'HOOK_NOT_ALLOWED',
      'VM_ALREADY_EXISTS',
      'VM_NOT_OWNED',
      'VM_BUSY',
      'NODE_CAPACITY_EXCEEDED',
      'NODE_CORDONED',
      'NODE_SHUTTING_DOWN',
      'RESERVATION_NOT_FOUND',
      'STATE_NOT_READY',
      ...OF_HYPERVISOR,
    ],
    found: ['HOOK_FAILED', 'IMAGE_DIGEST_MISMATCH', ...ONLY_FOUND, 'OPERATION_CANCELLED'],
  },
  start: {
    foretold: [
      'VM_NOT_FOUND',
      'VM_UID_MISMATCH',
      'VM_NOT_OWNED',
      'VM_BUSY',
      'RUN_STRATEGY_HALTED',
      'VM_PAUSED',
      ...OF_FILES,
      ...OF_NETWORKS,
      'HOOK_NOT_ALLOWED',
      'INVALID_SPEC',
      'NODE_CAPACITY_EXCEEDED',
      'NODE_SHUTTING_DOWN',
      'STATE_NOT_READY',
      ...OF_HYPERVISOR,
    ],
    found: [
      'CPU_INCOMPATIBLE',
      'FEATURE_NOT_SUPPORTED',
      'HOOK_FAILED',
      ...ONLY_FOUND,
      'OPERATION_CANCELLED',
      'OPERATION_SUPERSEDED',
    ],
  },
  migrate: {
    foretold: [
      'INVALID_REQUEST',
      'VM_NOT_FOUND',
      'VM_UID_MISMATCH',
      'VM_NOT_RUNNING',
      'VM_PAUSED',
      'VM_NOT_OWNED',
      'VM_ALREADY_EXISTS',
      'VM_BUSY',
      'MIGRATION_BLOCKED',
      'NOT_SUPPORTED',
      'FEATURE_NOT_SUPPORTED',
      'CPU_INCOMPATIBLE',
      ...OF_FILES,
      ...OF_NETWORKS,
      'HOOK_NOT_ALLOWED',
      'INVALID_SPEC',
      'NODE_CAPACITY_EXCEEDED',
      'NODE_CORDONED',
      'NODE_SHUTTING_DOWN',
      'PEER_UNKNOWN',
      'PEER_UNREACHABLE',
      'PEER_INCOMPATIBLE',
      'STATE_NOT_READY',
      ...OF_HYPERVISOR,
    ],
    found: [
      'MIGRATION_ALREADY_EXISTS',
      'MIGRATION_FAILED',
      'MIGRATION_CANCELLED',
      'MIGRATION_TIMEOUT',
      'STREAM_FAILED',
      ...ONLY_FOUND,
    ],
  },
} as const satisfies Readonly<Record<string, DeedReasons>>;

export type DeedVerb = keyof typeof DEED_REASONS;
