import { AgentError, hasReason } from '../../core/errors.ts';
import { identityOf } from '../../core/resources/parse-virtual-machine.ts';
import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import { KeptResults } from '../operations/kept-results.ts';
import type { OperationParameters, OperationRecord } from '../operations/operation.ts';
import { passes } from '../operations/operation-errors.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import { assertThere, type GivenSecrets } from './given-secrets.ts';
import type { HookSteps } from './hook-steps.ts';
import { CHANGING_LIVE, LiveWaits } from './live-waits.ts';
import { awaitsStart, isMadeBy, mayAwaitStart, startsApplied, startsMade } from './made-starts.ts';
import { type PowerVerbs, powerOperations } from './power-operations.ts';
import { SECRET_PARAMETERS } from './secret-parameters.ts';
import { assertRead } from './unread-vms.ts';
import type { ApplyOptions, ApplyResult, CreateResult, DeleteOptions, Vm } from './vm.ts';
import { changedOnly, type VmManager } from './vm-manager.ts';
import { type StartStep, VmStarts } from './vm-starts.ts';

type Verbs = PowerVerbs &
  Pick<
    VmManager,
    | 'create'
    | 'apply'
    | 'delete'
    | 'assertCanDelete'
    | 'findGone'
    | 'findKeptDisks'
    | 'removeUnusedDisks'
    | 'get'
  >;

/** How what is asked of VMs is done, by kind of operation. */
export function vmOperations(vms: Verbs, hooks: HookSteps) {
  const starts = new VmStarts({ vms, hooks });
  return {
    create: createWork(vms, starts),
    apply: applyWork(vms, starts),
    ...powerOperations(vms, hooks),
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
      const options = deleteOptions(parameters);
      const kept = options.disks === 'keep' ? vms.findKeptDisks(vm) : undefined;
      const outcome = await vms.delete(vm, options, signal);
      // An agent may have deleted it that was killed before it could say so.
      const result = resultWord(startedAtMs === undefined ? outcome : 'deleted');
      const warnings = kept === undefined || outcome !== 'deleted' ? [] : [kept];
      return { isDone: true, result, warnings };
    },
  };
}

function deleteOptions(parameters: OperationParameters): DeleteOptions {
  return {
    force: parameters['force'] === true,
    unownedCopy: parameters['unownedCopy'] === true,
    disks: parameters['deleteDisks'] === true ? 'remove' : 'keep',
  };
}

/** As the API has it. */
function resultWord(outcome: string): string {
  return outcome.toUpperCase().replaceAll('-', '_');
}

function createWork(vms: Verbs, starts: VmStarts): OperationWork {
  /** Made, and not started yet. */
  const waiting = new KeptResults<CreateResult>();
  return {
    firstStep: 'creating',
    secret: SECRET_PARAMETERS,
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
      assertThere(kept.secrets);
      const options = { ...kept, dryRun: false, asksNodes: namesUid(manifest) };
      const known = waiting.get(operation.id);
      const made = known ?? (await vms.create(withUid(manifest, vm.uid), options, signal));
      if (known === undefined && !startsMade(operation, made)) {
        const details = await finish(vms, operation, made, signal);
        return { isDone: true, warnings: details.warnings, details };
      }
      waiting.keep(operation.id, made);
      const taken = await startWhole(vms, starts, operation, signal);
      if (taken.kind === 'waiting') return taken.result;
      waiting.drop(operation.id);
      const details = { ...made, vm: taken.vm, warnings: [...made.warnings, ...taken.warnings] };
      return { isDone: true, warnings: details.warnings, details };
    },
    async undo(operation, signal) {
      waiting.drop(operation.id);
      await unmake(vms, operation, signal);
    },
  };
}

/** Starts a VM that this operation has made, and takes it away again if that cannot be. */
async function startWhole(
  vms: Verbs,
  starts: VmStarts,
  operation: OperationRecord,
  signal: AbortSignal,
): Promise<StartStep> {
  try {
    return await starts.step(operation, signal);
  } catch (error) {
    if (!signal.aborted && !passes(error)) await unmake(vms, operation, signal);
    throw error;
  }
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

/** Whether the VM was made by an earlier step of this operation. */
function isOwnWork(operation: OperationRecord, vm: Vm): boolean {
  return operation.startedAtMs !== undefined && isMadeBy(operation, vm);
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
    await vms.delete(identity(definition), { force: true, disks: 'remove-unused' }, signal);
  } catch (error) {
    if (!hasReason(error, 'VM_NOT_FOUND', 'VM_UID_MISMATCH')) throw error;
    // An agent may have been killed between the disks and the VM.
    await vms.removeUnusedDisks(operation.vm.uid, signal);
  }
}

function applyWork(vms: Verbs, starts: VmStarts): OperationWork {
  /** Made or changed, and not started yet. */
  const waiting = new KeptResults<ApplyResult>();
  /** Those whose guests have to do their part. */
  const live = new LiveWaits(vms);
  return {
    firstStep: 'changing',
    secret: SECRET_PARAMETERS,
    // The VM is changed: what is asked for next counts.
    isOver: (id) => live.has(id),
    ended: (id) => live.end(id),
    async admit({ parameters }, signal): Promise<Admission> {
      const { manifest, ...options } = parameters as unknown as ApplyParameters;
      const asked = { ...options, dryRun: true, asksNodes: false };
      const planned = await vms.apply(manifest, asked, signal);
      return { vm: identity(planned.vm.definition), deed: 'apply', details: planned };
    },
    async step(operation: OperationRecord, signal, waitedMs): Promise<StepResult> {
      if (operation.step === CHANGING_LIVE) return await live.step(operation, waitedMs, signal);
      const { manifest, ...options } = operation.parameters as unknown as ApplyParameters;
      assertThere(options.secrets);
      const known = waiting.get(operation.id);
      const applied = known ?? (await applyOnce(vms, operation, manifest, options, signal));
      const told = known ?? asResumed(operation, applied);
      if (known === undefined && !startsApplied(operation, told)) {
        const resumedOne = await resumed(vms, operation, applied, signal);
        return await live.begin(operation, resumedOne, asApplied(resumedOne), signal);
      }
      waiting.keep(operation.id, told);
      const taken = await startApplied(vms, starts, operation, told, signal);
      if (taken.kind === 'waiting') return taken.result;
      waiting.drop(operation.id);
      const warnings = [...told.warnings, ...taken.warnings];
      return asApplied({ ...told, vm: taken.vm, warnings });
    },
  };
}

function asApplied(details: ApplyResult): StepResult & { readonly isDone: true } {
  const { outcome, warnings } = details;
  return { isDone: true, result: resultWord(outcome), warnings, details };
}

/** A change that an agent which was killed has made, or a VM that it has, is this operation's all the same. */
function asResumed(operation: OperationRecord, applied: ApplyResult): ApplyResult {
  if (operation.startedAtMs === undefined || applied.outcome !== 'unchanged') return applied;
  return { ...applied, outcome: isOwnWork(operation, applied.vm) ? 'created' : 'changed' };
}

/** A VM that was made is there whole or not at all; one that was changed stays so though it cannot be started. */
async function startApplied(
  vms: Verbs,
  starts: VmStarts,
  operation: OperationRecord,
  { outcome, vm }: ApplyResult,
  signal: AbortSignal,
): Promise<StartStep> {
  if (outcome === 'created') return startWhole(vms, starts, operation, signal);
  try {
    // What is asked of its power meanwhile counts.
    return await starts.step(operation, signal, { onlyIfWanted: true });
  } catch (error) {
    if (!(error instanceof AgentError) || passes(error)) throw error;
    return { kind: 'done', vm, warnings: [changedOnly(vm.definition.name, error)] };
  }
}

/** An agent that was killed may have made the change, or the VM, and not have come to the start. */
async function resumed(
  vms: Verbs,
  operation: OperationRecord,
  applied: ApplyResult,
  signal: AbortSignal,
): Promise<ApplyResult> {
  const told = asResumed(operation, applied);
  if (told === applied) return applied;
  if (told.outcome === 'created') return finish(vms, operation, told, signal);
  const { definition } = told.vm;
  const starts = awaitsStart(told.vm) && startsAtOnce(runStrategyOf(definition.spec));
  return starts ? { ...told, vm: await vms.start(identity(definition), signal) } : told;
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
  readonly secrets?: GivenSecrets | undefined;
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
