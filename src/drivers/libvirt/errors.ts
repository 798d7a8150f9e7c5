import { constants } from 'node:os';
import { AgentError, type AgentErrorOptions, type Reason } from '../../core/errors.ts';
import { findGuestRefusal } from './guest-refusals.ts';
import { findRefusal } from './refusals.ts';

/** virterror.h: the virErrorNumber values that mean something to the agent. */
const CODES = {
  NO_SUPPORT: 3,
  NO_CONNECT: 5,
  INVALID_CONN: 6,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  OS_TYPE: 16,
  XML_ERROR: 27,
  XML_DETAIL: 35,
  SYSTEM_ERROR: 38,
  NO_DOMAIN: 42,
  AUTH_FAILED: 45,
  OPERATION_INVALID: 55,
  NO_SECRET: 66,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_TIMEOUT: 68,
  ARGUMENT_UNSUPPORTED: 74,
  OPERATION_ABORTED: 78,
  AUTH_CANCELLED: 79,
  OPERATION_UNSUPPORTED: 84,
  RESOURCE_BUSY: 87,
  CPU_INCOMPATIBLE: 91,
  XML_INVALID_SCHEMA: 92,
  AUTH_UNAVAILABLE: 94,
} as const;

/** What the agent cannot do anything without, whatever is asked for. */
const REASON_WITHOUT_LIBVIRT: Readonly<Record<number, Reason>> = {
  // libvirt refuses the agent itself here, not the agent's caller, so it is not PERMISSION_DENIED.
  [CODES.AUTH_FAILED]: 'HYPERVISOR_UNREACHABLE',
  [CODES.AUTH_CANCELLED]: 'HYPERVISOR_UNREACHABLE',
  [CODES.AUTH_UNAVAILABLE]: 'HYPERVISOR_UNREACHABLE',
  [CODES.NO_CONNECT]: 'HYPERVISOR_UNREACHABLE',
  [CODES.INVALID_CONN]: 'HYPERVISOR_UNREACHABLE',
};

const REASON_OF_CODE: Readonly<Record<number, Reason>> = {
  ...REASON_WITHOUT_LIBVIRT,
  [CODES.NO_SUPPORT]: 'FEATURE_NOT_SUPPORTED',
  [CODES.INVALID_ARG]: 'INVALID_SPEC',
  [CODES.OS_TYPE]: 'INVALID_SPEC',
  [CODES.XML_ERROR]: 'INVALID_SPEC',
  [CODES.XML_DETAIL]: 'INVALID_SPEC',
  [CODES.NO_DOMAIN]: 'VM_NOT_FOUND',
  [CODES.OPERATION_INVALID]: 'VM_NOT_RUNNING',
  [CODES.CONFIG_UNSUPPORTED]: 'INVALID_SPEC',
  // libvirt waits 30 s for the domain's job lock ("cannot acquire state change lock").
  [CODES.OPERATION_TIMEOUT]: 'VM_BUSY',
  [CODES.ARGUMENT_UNSUPPORTED]: 'FEATURE_NOT_SUPPORTED',
  [CODES.OPERATION_UNSUPPORTED]: 'FEATURE_NOT_SUPPORTED',
  [CODES.RESOURCE_BUSY]: 'VM_BUSY',
  [CODES.CPU_INCOMPATIBLE]: 'CPU_INCOMPATIBLE',
  [CODES.XML_INVALID_SCHEMA]: 'INVALID_SPEC',
};

const REASON_OF_BUSY_DOMAIN: Readonly<Record<number, Reason>> = {
  [CODES.NO_DOMAIN]: 'VM_NOT_FOUND',
  [CODES.OPERATION_TIMEOUT]: 'VM_BUSY',
  [CODES.RESOURCE_BUSY]: 'VM_BUSY',
  [CODES.CPU_INCOMPATIBLE]: 'CPU_INCOMPATIBLE',
};

/**
 * What makes, starts and moves VMs has a closed list of reasons. Whatever else libvirt says to it is its refusal, in its own
 * words: the agents' own checks have found nothing, so no reason of theirs would lead to it.
 */
const REASONS_OF_DEEDS: Readonly<Record<string, Readonly<Record<number, Reason>>>> = {
  define: { ...REASON_WITHOUT_LIBVIRT, ...REASON_OF_BUSY_DOMAIN },
  // "Already running" is handled where it appears; what is left is a domain in a state of its own.
  start: {
    ...REASON_WITHOUT_LIBVIRT,
    ...REASON_OF_BUSY_DOMAIN,
    [CODES.OPERATION_INVALID]: 'VM_BUSY',
  },
  // A connection that fails now is that to the destination.
  migrate: { ...REASON_OF_BUSY_DOMAIN, [CODES.OPERATION_ABORTED]: 'MIGRATION_FAILED' },
};

/** A failed libvirt call, with libvirt's own numbers. Thrown in a Worker and sent on as a plain object. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  readonly code: number;
  /** The system's error number; 0 if there is none. */
  readonly errno: number;

  constructor(code: number, message: string, errno = 0) {
    super(message);
    this.code = code;
    this.errno = errno;
  }
}

export function isMissingDomain(error: unknown): boolean {
  return error instanceof LibvirtError && error.code === CODES.NO_DOMAIN;
}

export function isMissingSecret(error: unknown): boolean {
  return error instanceof LibvirtError && error.code === CODES.NO_SECRET;
}

/** This libvirt has no driver for it. */
export function isUnsupported(error: unknown): boolean {
  return error instanceof LibvirtError && error.code === CODES.NO_SUPPORT;
}

/** The domain is not in a state in which this can be done: not running, already running, no job. */
export function isInvalidNow(error: unknown): boolean {
  return error instanceof LibvirtError && error.code === CODES.OPERATION_INVALID;
}

/** What is to be plugged in has a place on the bus that something else has. */
export function isUsedAddress(error: unknown): boolean {
  return (
    error instanceof LibvirtError &&
    /PCI address|PCI slot.*(?:in use|already)|double use of|already in use by (?:another )?device/i.test(
      error.message,
    )
  );
}

export function isIncompatibleCpu(error: unknown): boolean {
  return error instanceof LibvirtError && error.code === CODES.CPU_INCOMPATIBLE;
}

/** A model, or a feature, that libvirt does not know is an internal error to it. */
export function isUnknownCpuModel(error: unknown): boolean {
  return error instanceof LibvirtError && error.message.includes('Unknown CPU model');
}

export function isUnknownCpuFeature(error: unknown): boolean {
  return error instanceof LibvirtError && error.message.includes('Unknown CPU feature');
}

/** Which features libvirt says that a CPU would need which the host does not have; empty if it does not say. */
export function lackingFeatures(error: unknown): readonly string[] {
  if (!isIncompatibleCpu(error)) return [];
  const list = /required features: (.*)$/.exec((error as Error).message)?.[1];
  return list?.split(', ') ?? [];
}

/** A guest has not given back in time what was to be taken from it; libvirt has the same number for a domain that it cannot lock. */
export function isUnplugTimeout(error: unknown): boolean {
  return isLockedOut(error) && /unplug request timed out/.test((error as Error).message);
}

/** Somebody else's job on the domain has not ended in the time for which libvirt waits. */
export function isLockedOut(error: unknown): boolean {
  return error instanceof LibvirtError && error.code === CODES.OPERATION_TIMEOUT;
}

/** libvirt will not do this to the domain as it is: it says either, depending on its version and the call. */
export function isRefusedNow(error: unknown): boolean {
  if (isInvalidNow(error)) return true;
  return error instanceof LibvirtError && error.code === CODES.OPERATION_UNSUPPORTED;
}

/** How a failed operation comes back from a Worker. */
export type OperationFailure =
  | {
      readonly kind: 'libvirt';
      readonly code: number;
      readonly errno: number;
      readonly message: string;
      /** Whether the Worker's own connection survived the call. */
      readonly connectionAlive: boolean;
    }
  /** Refused by the driver itself. */
  | { readonly kind: 'refused'; readonly reason: Reason; readonly message: string }
  | { readonly kind: 'unexpected'; readonly message: string; readonly stack: string };

type LibvirtFailure = Extract<OperationFailure, { kind: 'libvirt' }>;

export function describeFailure(error: unknown, connectionAlive: boolean): OperationFailure {
  if (error instanceof LibvirtError) {
    const { code, errno, message } = error;
    return { kind: 'libvirt', code, errno, message, connectionAlive };
  }
  if (error instanceof AgentError) {
    return { kind: 'refused', reason: error.reason, message: error.message };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { kind: 'unexpected', message, stack: stack ?? '' };
}

export interface FailedCall {
  /** The operation's name in the driver. */
  readonly operation: string;
  /** What was to be done, as in "start VM default/web". */
  readonly action: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The one place where libvirt's error numbers become reasons. */
export function toAgentError(failure: OperationFailure, call: FailedCall): AgentError {
  const options: AgentErrorOptions = { metadata: call.metadata, cause: causeOf(failure) };
  const cannot = `Cannot ${call.action}`;
  const text = `${cannot}: ${failure.message}`;
  switch (failure.kind) {
    case 'libvirt':
      return libvirtError(failure, cannot, { ...options, operation: call.operation });
    case 'refused':
      return new AgentError(failure.reason, text, options);
    default:
      return new AgentError('HYPERVISOR_FAILURE', text, options);
  }
}

function libvirtError(
  failure: LibvirtFailure,
  cannot: string,
  { operation, ...options }: AgentErrorOptions & { readonly operation: string },
): AgentError {
  const text = `${cannot}: ${failure.message}`;
  if (failure.connectionAlive) {
    const ofGuest = findGuestRefusal(failure, operation);
    if (ofGuest !== undefined) {
      return new AgentError(ofGuest.reason, `${cannot}: ${ofGuest.message}`, options);
    }
  }
  const refusal = failure.connectionAlive ? findRefusal(failure.message, operation) : undefined;
  if (refusal !== undefined) {
    const { reason, advice, resource } = refusal;
    const metadata = { ...options.metadata, ...(resource !== undefined && { resource }) };
    return new AgentError(reason, `${text}; ${advice}`, { ...options, metadata });
  }
  return new AgentError(reasonOf(failure, operation), text, options);
}

function reasonOf(failure: LibvirtFailure, operation: string): Reason {
  if (!failure.connectionAlive) return 'HYPERVISOR_UNREACHABLE';
  const ofDeed = REASONS_OF_DEEDS[operation];
  if (ofDeed === undefined) return REASON_OF_CODE[failure.code] ?? 'HYPERVISOR_FAILURE';
  if (operation === 'start') {
    const ofImage = reasonOfImage(failure);
    if (ofImage !== undefined) return ofImage;
  }
  return ofDeed[failure.code] ?? 'HYPERVISOR_REFUSED';
}

/** libvirt opens the images before it starts QEMU. */
function reasonOfImage({ code, errno }: LibvirtFailure): Reason | undefined {
  if (code !== CODES.SYSTEM_ERROR) return undefined;
  if (errno === constants.errno.ENOENT) return 'IMAGE_NOT_FOUND';
  return errno === constants.errno.EACCES ? 'IMAGE_NOT_READABLE' : undefined;
}

function causeOf(failure: OperationFailure): Error {
  switch (failure.kind) {
    case 'libvirt':
      return new LibvirtError(failure.code, failure.message, failure.errno);
    case 'refused':
      return new AgentError(failure.reason, failure.message);
    default: {
      const cause = new Error(failure.message);
      cause.stack = failure.stack;
      return cause;
    }
  }
}
