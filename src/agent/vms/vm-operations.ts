import { hasReason } from '../../core/errors.ts';
import { identityOf } from '../../core/resources/parse-virtual-machine.ts';
import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import type { OperationParameters, OperationRecord } from '../operations/operation.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import { endKind } from '../runs/run-ends.ts';
import { type PowerVerbs, powerOperations } from './power-operations.ts';
import { assertRead } from './unread-vms.ts';
import { USER_DATA_PARAMETER } from './user-data-parameter.ts';
import type { ApplyOptions, ApplyResult, CreateResult, DeleteOptions, Vm } from './vm.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';

type Verbs = PowerVerbs &
  Pick<VmManager, 'create' | 'apply' | 'delete' | 'assertCanDelete' | 'findGone'>;

/** How what is asked of VMs is done, by kind of operation. */
export function vmOperations(vms: Verbs) {
  return {
    create: createWork(vms),
    apply: applyWork(vms),
    ...powerOperations(vms),
    delete: deleteWork(vms),
  } satisfies Record<string, OperationWork>;
}

function deleteWork(vms: Verbs): OperationWork {
  return {
    firstStep: 'deleting',
    async admit({ vm: ref, parameters }, signal): Promise<Admission> {
      const options = deleteOptions(parameters);
      const deed = options.force ? 'delete-force' : 'delete';
      const found = await vms.assertCanDelete(ref, options, signal);
      if (typeof found !== 'string') return { vm: identity(found.definition), deed };
      const { namespace, name, uid = '' } = ref;
      const gone = vms.findGone(ref);
      // Somebody else has taken it away, and what is kept of it is still to be forgotten.
      if (gone !== undefined) return { vm: { namespace, name, uid: gone }, deed };
      return { vm: { namespace, name, uid }, deed, result: resultWord(found) };
    },
    async step({ vm, parameters, startedAtMs }, signal): Promise<StepResult> {
      const outcome = await vms.delete(vm, deleteOptions(parameters), signal);
      // An agent may have deleted it that was killed before it could say so.
      return { isDone: true, result: resultWord(startedAtMs === undefined ? outcome : 'deleted') };
    },
  };
}

function deleteOptions(parameters: OperationParameters): DeleteOptions {
  return { force: parameters['force'] === true, unownedCopy: parameters['unownedCopy'] === true };
}

/** As the API has it. */
function resultWord(outcome: string): string {
  return outcome.toUpperCase().replaceAll('-', '_');
}

function createWork(vms: Verbs): OperationWork {
  return {
    firstStep: 'creating',
    secret: USER_DATA_PARAMETER,
    async admit({ parameters }, signal): Promise<Admission> {
      const { manifest, ...kept } = parameters as unknown as CreateParameters;
      // The other nodes are asked once, under the lock.
      const options = { ...kept, dryRun: true, asksNodes: false };
      const planned = await vms.create(manifest, options, signal);
      const vm = { ...planned.vm, reason: 'Creating' };
      const details = planned.vm.phase === 'pending' ? { ...planned, vm } : planned;
      return { vm: identity(planned.vm.definition), deed: 'create', details };
    },
    async step(operation, signal): Promise<StepResult> {
      const { vm, parameters } = operation;
      const { manifest, ...kept } = parameters as unknown as CreateParameters;
      const options = { ...kept, dryRun: false, asksNodes: namesUid(manifest) };
      const made = await vms.create(withUid(manifest, vm.uid), options, signal);
      const details = await finish(vms, operation, made, signal);
      return { isDone: true, warnings: details.warnings, details };
    },
    undo: (operation, signal) => unmake(vms, operation, signal),
  };
}

/** Starts a VM that an agent has made for this operation which was killed before it could start it. */
async function finish<T extends CreateResult>(
  vms: Verbs,
  operation: OperationRecord,
  made: T,
  signal: AbortSignal,
): Promise<T> {
  if (!isOwnWork(operation, made.vm) || !mayAwaitStart(made.vm)) return made;
  return { ...made, vm: await vms.start(identity(made.vm.definition), signal) };
}

/** Whether it shall be on and has not run since it was defined, or since libvirt was restarted, as far as anybody can tell. */
function awaitsStart({ definition, phase, reason, run }: Vm): boolean {
  if (definition.intent !== 'on') return false;
  if (phase === 'paused') return reason === 'StartingUp';
  const cause = run?.end?.cause ?? '';
  return phase === 'stopped' && ['never-started', 'no-record', 'daemon-restarted'].includes(cause);
}

/** The same of a VM that is new: what looks like the end of a run may be that of a start which libvirt did not survive. */
function mayAwaitStart(vm: Vm): boolean {
  const { definition, phase, run } = vm;
  const isFailure = run?.end === undefined || endKind(run.end.cause).isFailure;
  const mayHaveFailed = phase === 'unknown' || (isOff({ phase }) && isFailure);
  return awaitsStart(vm) || (definition.intent === 'on' && mayHaveFailed);
}

/** Whether the VM was made by an earlier step of this operation. */
function isOwnWork({ startedAtMs, requestedAtMs }: OperationRecord, { definition }: Vm): boolean {
  return startedAtMs !== undefined && definition.createdAtMs >= requestedAtMs;
}

/** Takes away what steps of a creation that is cancelled have made. */
async function unmake(vms: Verbs, operation: OperationRecord, signal: AbortSignal): Promise<void> {
  try {
    // By what is there now: while the hypervisor is away it is not known whether there is something to be taken away.
    const vm = await vms.assertCan('destroy', operation.vm, signal);
    assertRead(vm);
    const { definition } = vm;
    // One that was there before stays.
    if (definition.createdAtMs < operation.requestedAtMs) return;
    await vms.delete(identity(definition), { force: true }, signal);
  } catch (error) {
    if (!hasReason(error, 'VM_NOT_FOUND', 'VM_UID_MISMATCH')) throw error;
  }
}

function applyWork(vms: Verbs): OperationWork {
  return {
    firstStep: 'changing',
    secret: USER_DATA_PARAMETER,
    async admit({ parameters }, signal): Promise<Admission> {
      const { manifest, ...options } = parameters as unknown as ApplyParameters;
      const asked = { ...options, dryRun: true, asksNodes: false };
      const planned = await vms.apply(manifest, asked, signal);
      return { vm: identity(planned.vm.definition), deed: 'apply', details: planned };
    },
    async step(operation: OperationRecord, signal): Promise<StepResult> {
      const { manifest, ...options } = operation.parameters as unknown as ApplyParameters;
      const applied = await applyOnce(vms, operation, manifest, options, signal);
      const details = await resumed(vms, operation, applied, signal);
      const { outcome, warnings } = details;
      return { isDone: true, result: resultWord(outcome), warnings, details };
    },
  };
}

/** An agent that was killed may have made the change, or the VM, and not have come to the start. */
async function resumed(
  vms: Verbs,
  operation: OperationRecord,
  applied: ApplyResult,
  signal: AbortSignal,
): Promise<ApplyResult> {
  if (operation.startedAtMs === undefined || applied.outcome !== 'unchanged') return applied;
  if (isOwnWork(operation, applied.vm)) {
    return { ...(await finish(vms, operation, applied, signal)), outcome: 'created' };
  }
  const { definition } = applied.vm;
  const starts = awaitsStart(applied.vm) && startsAtOnce(runStrategyOf(definition.spec));
  const vm = starts ? await vms.start(identity(definition), signal) : applied.vm;
  return { ...applied, vm, outcome: 'changed' };
}

/** What an agent that was killed had changed already has another generation than the one that was asked for. */
async function applyOnce(
  vms: Verbs,
  { vm, startedAtMs }: OperationRecord,
  manifest: unknown,
  options: Omit<ApplyParameters, 'manifest'>,
  signal: AbortSignal,
): Promise<ApplyResult> {
  const wanted = withUid(manifest, vm.uid);
  try {
    const asked = { ...options, dryRun: false, asksNodes: namesUid(manifest) };
    return await vms.apply(wanted, asked, signal);
  } catch (error) {
    if (startedAtMs === undefined || !hasReason(error, 'GENERATION_MISMATCH')) throw error;
    const any = { ...options, generation: undefined, dryRun: true };
    const now = await vms.apply(wanted, any, signal);
    if (now.outcome === 'unchanged') return now;
    throw error;
  }
}

/** What is kept of a creation. */
interface CreateParameters {
  readonly manifest: unknown;
  readonly reservationId: string | undefined;
  readonly ownershipEpoch: number | undefined;
}

/** What is kept of a change. */
interface ApplyParameters extends Omit<ApplyOptions, 'dryRun' | 'asksNodes'> {
  readonly manifest: unknown;
}

/** A uid that this agent has made up is on no other node. */
function namesUid(manifest: unknown): boolean {
  return identityOf(manifest).uid !== undefined;
}

function withUid(manifest: unknown, uid: string): unknown {
  const { namespace, name } = identityOf(manifest);
  const { metadata } = manifest as { readonly metadata: object };
  return { ...(manifest as object), metadata: { ...metadata, namespace, name, uid } };
}

function identity({ namespace, name, uid }: { namespace: string; name: string; uid: string }) {
  return { namespace, name, uid };
}
