import type { FieldViolation, Reason } from '../../core/errors.ts';
import type {
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';

/** What can be done to a VM. */
export type VmOperationKind =
  | 'create'
  | 'apply'
  | 'adopt'
  | 'start'
  | 'shutdown'
  | 'destroy'
  | 'suspend'
  | 'resume'
  | 'reset'
  | 'reboot'
  | 'restart'
  | 'eject'
  | 'insert'
  | 'delete'
  | 'migrate';

/** What can be done to this node. */
export type NodeOperationKind = 'cordon' | 'uncordon';

export type OperationKind = VmOperationKind | NodeOperationKind;

/**
 * ```
 * pending ─▶ running ─┬▶ succeeded
 *    │          │     ├▶ failed
 *    └──────────┴─────┴▶ cancelled | superseded
 * ```
 */
export type OperationState =
  | 'pending'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'superseded';

/** The VM of an operation, which may not be there yet, or no more. */
export interface OperationVm {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Stands where a VM does in the operations of the node itself. No VM's name or uid is like it. */
export const THE_NODE: OperationVm = { namespace: '', name: '', uid: 'node' };

/** An AgentError as it is kept. */
export interface OperationError {
  readonly reason: Reason;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
}

/** How far an operation has come, as it was last looked at. */
export interface OperationProgress {
  /** 0 to 1; undefined where nobody can tell. */
  readonly fractionDone: number | undefined;
  /** What is in the way, in a sentence; empty where the step says it all. */
  readonly message: string;
  /** How long what is waited for has been; undefined if nothing is. */
  readonly waitedMs: number | undefined;
  /** How much longer it is waited for at the most; undefined if there is no end to it. */
  readonly leftMs: number | undefined;
}

/** A change that was asked for, and what became of it. Times are milliseconds since 1970. */
export interface Operation {
  readonly id: string;
  readonly kind: OperationKind;
  /** `THE_NODE` if it is about no VM. */
  readonly vm: OperationVm;
  /** Lists and watches leave out its manifest. */
  readonly parameters: OperationParameters;
  /** Who asked: the identity of the caller. */
  readonly requestedBy: string;
  readonly requestedAtMs: number;
  /** Undefined while it is pending. */
  readonly startedAtMs: number | undefined;
  /** Undefined until it has ended. */
  readonly endedAtMs: number | undefined;
  readonly state: OperationState;
  /** What is being done or waited for, in one word; empty before and after. */
  readonly step: string;
  /** Undefined before and after, and where there is no more to say than the step. */
  readonly progress: OperationProgress | undefined;
  /** What came of it, in one word where there is more than one way to succeed; empty otherwise. */
  readonly result: string;
  /** What the caller should know although it has succeeded, in sentences. */
  readonly warnings: readonly string[];
  /** Why it failed, was cancelled or superseded. */
  readonly error: OperationError | undefined;
  /** Id of the operation that took its place; empty if none did. */
  readonly supersededBy: string;
  readonly origin: ReportOrigin;
}

/** What is asked for, in a form that can be kept and compared. It holds no secret. */
export interface OperationParameters {
  /** All that may be large. */
  readonly manifest?: unknown;
  readonly [name: string]: unknown;
}

/** An operation as the journal has it. */
export type OperationRecord = Omit<Operation, 'origin' | 'progress'>;

/** What a caller asks for. */
export interface OperationRequest {
  /** UUID of the caller's choice, by which it may be repeated; undefined lets the agent choose. */
  readonly id: string | undefined;
  readonly kind: OperationKind;
  readonly vm: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string | undefined;
  };
  readonly parameters: OperationParameters;
  readonly requestedBy: string;
  /** The caller will wait for what comes of it with `untilDone`. Default false. */
  readonly isAwaited?: boolean;
}

export interface OperationFilter {
  /** Undefined chooses those of all VMs. */
  readonly vmUid: string | undefined;
  /** A VM by its names; undefined chooses all. */
  readonly vmName: { readonly namespace: string; readonly name: string } | undefined;
  /** Undefined chooses those of all namespaces, and of the node. */
  readonly namespace: string | undefined;
  readonly activeOnly: boolean;
}

/** An operation that was asked for. */
export interface Submission {
  readonly operation: Operation;
  /** What its kind has to say beside; undefined if nobody knows it any more. */
  readonly details: unknown;
}

/** The operations of this node. */
export interface OperationService {
  /**
   * Records what is asked for and has it done; answers before it is. The same id again answers with the same operation; fails with
   * OPERATION_ID_REUSED for that of another request, with VM_BUSY where another operation is in the way (see `MEETINGS`), and
   * with whatever can be told at once to be wrong.
   */
  submit(request: OperationRequest, signal: AbortSignal): Promise<Submission>;
  /** Fails as `submit` would where that can be told at once, and says which VM is meant. Changes nothing. */
  plan(
    asked: Pick<OperationRequest, 'kind' | 'vm' | 'parameters'>,
    signal: AbortSignal,
  ): Promise<OperationVm>;
  /** Of a request that could be done: fails with VM_BUSY where `submit` would as another operation of this VM is in the way. */
  assertNotInTheWay(
    asked: Pick<OperationRequest, 'kind' | 'vm' | 'parameters'>,
    vm: OperationVm,
  ): void;
  /** Fails with OPERATION_NOT_FOUND. */
  get(id: string, signal: AbortSignal): Promise<Operation>;
  /** The newest first. */
  list(filter: OperationFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Operation>>;
  /** Those that go on and the latest that have ended, then every change. */
  watch(
    filter: OperationFilter & { readonly id: string | undefined },
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<Operation>>;
  /** Ends an operation as far as that is possible; one that has ended stays as it is. */
  cancel(id: string, signal: AbortSignal): Promise<Operation>;
  /** Returns once it has ended, or has come to the step at which its kind is not waited for any more. Fails as it has failed. */
  untilDone(submission: Submission, signal: AbortSignal): Promise<Submission>;
}

export function hasEnded({ state }: Pick<Operation, 'state'>): boolean {
  return state !== 'pending' && state !== 'running';
}

export function isOfNode(kind: OperationKind): kind is NodeOperationKind {
  return kind === 'cordon' || kind === 'uncordon';
}

/** What an operation is about, in the words of a sentence. */
export function subjectText({
  kind,
  vm,
}: Pick<Operation, 'kind'> & { readonly vm: { readonly name: string } }): string {
  return isOfNode(kind) ? 'this node' : `VM ${vm.name}`;
}

/** Identifies the VM of an operation in an error's metadata. */
export function vmIdOf({
  kind,
  vm,
}: Pick<Operation, 'kind' | 'vm'>): Readonly<Record<string, string>> {
  return isOfNode(kind) ? {} : { vmId: vm.uid };
}
