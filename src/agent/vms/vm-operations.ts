import { AgentError, hasReason } from '../../core/errors.ts';
import { identityOf } from '../../core/resources/parse-virtual-machine.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { withoutUserData } from '../../core/user-data.ts';
import type { OperationParameters, OperationRecord } from '../operations/operation.ts';
import { WAITING_FOR_GUEST } from '../operations/operation-manager.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import type { ApplyOptions, ApplyResult, CreateResult, DeleteOptions, Vm, VmRef } from './vm.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';

/** How long a guest that was asked to power off is waited for, unless the caller says. */
const SHUTDOWN_TIMEOUT_MS = 300_000;
/** What a guest does is seen at once; this is for what nobody sees. */
const LOOK_AGAIN_MS = 5_000;

type Verbs = Pick<
  VmManager,
  | 'get'
  | 'create'
  | 'apply'
  | 'start'
  | 'shutdown'
  | 'destroy'
  | 'delete'
  | 'assertCan'
  | 'assertCanDelete'
>;

/** How what is asked of VMs is done, by kind of operation. */
export function vmOperations(vms: Verbs) {
  return {
    create: createWork(vms),
    apply: applyWork(vms),
    start: verbWork(vms, 'start', 'starting', (ref, signal) => vms.start(ref, signal)),
    shutdown: shutdownWork(vms),
    destroy: verbWork(vms, 'destroy', 'cutting-power', (ref, signal) => vms.destroy(ref, signal)),
    delete: deleteWork(vms),
  } satisfies Record<string, OperationWork>;
}

function verbWork(
  vms: Verbs,
  verb: 'start' | 'destroy',
  firstStep: string,
  take: (ref: VmRef, signal: AbortSignal) => Promise<Vm>,
): OperationWork {
  return {
    firstStep,
    async admit({ vm }, signal): Promise<Admission> {
      const { definition } = await vms.assertCan(verb, vm, signal);
      return { vm: identity(definition), deed: verb };
    },
    async step({ vm }, signal): Promise<StepResult> {
      return { isDone: true, details: await take(vm, signal) };
    },
  };
}

function shutdownWork(vms: Verbs): OperationWork {
  return {
    firstStep: 'asking-guest',
    async admit({ vm }, signal): Promise<Admission> {
      const { definition } = await vms.assertCan('shutdown', vm, signal);
      return { vm: identity(definition), deed: 'shutdown' };
    },
    async step(operation, signal): Promise<StepResult> {
      const { vm: ref, requestedAtMs, parameters } = operation;
      let vm = await findVm(vms, ref, signal);
      // An agent that was killed has not kept that the guest was asked, and it may not have been.
      if (vm !== undefined && !isOff(vm) && vm.phase !== 'stopping') {
        vm = await vms.shutdown(ref, signal);
      }
      if (vm === undefined || isOff(vm)) return { isDone: true, details: vm };
      const { timeoutMs = SHUTDOWN_TIMEOUT_MS } = parameters as { readonly timeoutMs?: number };
      const leftMs = requestedAtMs + timeoutMs - Date.now();
      if (leftMs > 0) {
        const again = { afterMs: Math.min(leftMs, LOOK_AGAIN_MS) };
        return { isDone: false, step: WAITING_FOR_GUEST, again };
      }
      throw new AgentError(
        'GUEST_DID_NOT_STOP',
        `VM ${ref.name} was asked to power off and has not within ${timeoutMs / 1_000} s; it may still do so; look at its console log, ask again with a longer time-out, or destroy it to cut its power`,
        { metadata: { vmId: ref.uid } },
      );
    },
  };
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
      return { vm: { namespace, name, uid }, deed, result: resultWord(found) };
    },
    async step({ vm, parameters }, signal): Promise<StepResult> {
      await vms.delete(vm, deleteOptions(parameters), signal);
      // Also one that an agent had deleted which was killed before it could say so.
      return { isDone: true, result: resultWord('deleted') };
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
    withoutSecrets,
    async admit({ parameters }, signal): Promise<Admission> {
      const { manifest, ...kept } = parameters as unknown as CreateParameters;
      // The other nodes are asked once, under the lock.
      const options = { ...kept, dryRun: true, asksNodes: false };
      const planned = await vms.create(manifest, options, signal);
      const vm = { ...planned.vm, reason: 'Creating' };
      const details = planned.vm.phase === 'pending' ? { ...planned, vm } : planned;
      return { vm: identity(planned.vm.definition), deed: 'create', details };
    },
    async step({ vm, parameters }, signal): Promise<StepResult> {
      const { manifest, ...kept } = parameters as unknown as CreateParameters;
      const options = { ...kept, dryRun: false, asksNodes: namesUid(manifest) };
      const made = await vms.create(withUid(manifest, vm.uid), options, signal);
      return { isDone: true, details: await finish(vms, made, signal) };
    },
  };
}

/** Starts a VM that an agent has defined which was killed before it could start it. */
async function finish(vms: Verbs, made: CreateResult, signal: AbortSignal): Promise<CreateResult> {
  const { definition, phase, reason } = made.vm;
  const neverRan = phase === 'stopped' && reason === '';
  if (definition.intent !== 'on' || !neverRan) return made;
  return { ...made, vm: await vms.start(identity(definition), signal) };
}

function applyWork(vms: Verbs): OperationWork {
  return {
    firstStep: 'changing',
    withoutSecrets,
    async admit({ parameters }, signal): Promise<Admission> {
      const { manifest, ...options } = parameters as unknown as ApplyParameters;
      const asked = { ...options, dryRun: true, asksNodes: false };
      const planned = await vms.apply(manifest, asked, signal);
      return { vm: identity(planned.vm.definition), deed: 'apply', details: planned };
    },
    async step(operation: OperationRecord, signal): Promise<StepResult> {
      const { manifest, ...options } = operation.parameters as unknown as ApplyParameters;
      const details = await applyOnce(vms, operation, manifest, options, signal);
      return { isDone: true, result: resultWord(details.outcome), details };
    },
  };
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

/** Parameters as they may be kept: of user data they have the digest. */
function withoutSecrets(parameters: OperationParameters): OperationParameters {
  const { manifest } = parameters as { readonly manifest: { readonly spec?: VmSpec } };
  const { spec } = manifest;
  if (spec?.template?.spec?.userData === undefined) return parameters;
  return { ...parameters, manifest: { ...manifest, spec: withoutUserData(spec) } };
}

async function findVm(vms: Verbs, ref: VmRef, signal: AbortSignal): Promise<Vm | undefined> {
  try {
    return await vms.get(ref, signal);
  } catch (error) {
    if (hasReason(error, 'VM_NOT_FOUND', 'VM_UID_MISMATCH')) return undefined;
    throw error;
  }
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
