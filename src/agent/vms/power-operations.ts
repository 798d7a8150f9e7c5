import { AgentError } from '../../core/errors.ts';
import { KeptResults } from '../operations/kept-results.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import { isByAgent } from '../operations/requester.ts';
import { GuestPowerOffs, guestDidNot, timeoutOf, waitingForGuest } from './guest-power-off.ts';
import type { HookSteps } from './hook-steps.ts';
import { WAITING_FOR_GUEST } from './power-steps.ts';
import { PreStops } from './pre-stops.ts';
import { restartWork } from './restart-operation.ts';
import type { Vm } from './vm.ts';
import type { VmManager } from './vm-manager.ts';
import { mayStopAgain } from './vm-pauses.ts';
import { isOff } from './vm-phase.ts';
import { VmStarts } from './vm-starts.ts';
import { commandNameOf } from './vm-words.ts';

export type PowerVerbs = Pick<
  VmManager,
  | 'get'
  | 'start'
  | 'shutdown'
  | 'destroy'
  | 'suspend'
  | 'resume'
  | 'reset'
  | 'reboot'
  | 'stopToRestart'
  | 'rebootsOf'
  | 'assertCan'
>;

type PowerVerb = Parameters<PowerVerbs['assertCan']>[0];

/** What has paused a VM, such as a full disk, pauses it again within this time if it is still so. */
const RELAPSE_MS = 1_000;
/** Nothing but a look tells an operation that a guest has rebooted. */
const LOOK_FOR_REBOOT_MS = 500;
const SEEING_IT_RUN = 'seeing-it-run';

/** How what is asked of the power of VMs is done, by kind of operation. */
export function powerOperations(vms: PowerVerbs, hooks: HookSteps) {
  const starts = new VmStarts({ vms, hooks });
  const preStops = new PreStops({ vms, hooks });
  return {
    start: startWork(vms, starts),
    shutdown: shutdownWork(vms, preStops),
    destroy: verbWork(vms, 'destroy', 'cutting-power'),
    suspend: verbWork(vms, 'suspend', 'suspending'),
    resume: resumeWork(vms),
    reset: resetWork(vms),
    reboot: rebootWork(vms),
    restart: restartWork({ vms, admit: admits(vms, 'restart'), preStops, starts }),
  } satisfies Record<string, OperationWork>;
}

function admits(vms: PowerVerbs, verb: PowerVerb): OperationWork['admit'] {
  return async ({ vm, parameters }, signal): Promise<Admission> => {
    const isForced = parameters['force'] === true;
    const { definition } = await vms.assertCan(verb, vm, signal, { isForced });
    const { namespace, name, uid } = definition;
    return { vm: { namespace, name, uid }, deed: verb };
  };
}

function verbWork(vms: PowerVerbs, verb: 'destroy' | 'suspend', firstStep: string): OperationWork {
  return {
    firstStep,
    admit: admits(vms, verb),
    async step({ vm }, signal): Promise<StepResult> {
      return { isDone: true, details: await vms[verb](vm, signal) };
    },
  };
}

function startWork(vms: PowerVerbs, starts: VmStarts): OperationWork {
  return {
    firstStep: 'starting',
    admit: admits(vms, 'start'),
    async step(operation, signal): Promise<StepResult> {
      const isByItself = isByAgent(operation.requestedBy);
      const taken = await starts.step(operation, signal, { isByItself });
      if (taken.kind === 'waiting') return taken.result;
      const { vm: details, warnings } = taken;
      // Callers have asked for something else since, or whatever was wrong is over.
      const result = isByItself && isOff(details) ? { result: 'NOT_WANTED' } : {};
      return { isDone: true, details, warnings, ...result };
    },
  };
}

function shutdownWork(vms: PowerVerbs, preStops: PreStops): OperationWork {
  const powerOffs = new GuestPowerOffs({
    get: (ref, signal) => vms.get(ref, signal),
    ask: (ref, signal) => vms.shutdown(ref, signal),
  });
  return {
    firstStep: 'asking-guest',
    answersAt: WAITING_FOR_GUEST,
    admit: admits(vms, 'shutdown'),
    async step(operation, signal, waitedMs): Promise<StepResult> {
      const before = await preStops.step(operation, signal);
      if (before !== undefined) return before;
      const seen = await powerOffs.look(operation, signal, waitedMs);
      if (seen.kind === 'waiting') return seen.result;
      if (seen.kind !== 'late') return { isDone: true, details: seen.vm };
      throw guestDidNot(
        operation,
        'power off',
        'look at its console log, ask again with a longer time-out, or destroy it to cut its power',
      );
    },
    /** The guest cannot be told to stay on, but nobody waits for it any more. */
    async undo() {},
  };
}

function resumeWork(vms: PowerVerbs): OperationWork {
  return {
    firstStep: 'resuming',
    admit: admits(vms, 'resume'),
    async step({ vm: ref, step }, signal, waitedMs): Promise<StepResult> {
      const before = await vms.get(ref, signal);
      if (step === SEEING_IT_RUN && waitedMs > 0) {
        if (before.phase === 'paused') throw stoppedAgain(before);
        if (waitedMs >= RELAPSE_MS) return { isDone: true, details: before };
        return seeingItRun(RELAPSE_MS - waitedMs);
      }
      const vm = await vms.resume(ref, signal);
      return mayStopAgain(before) ? seeingItRun(RELAPSE_MS) : { isDone: true, details: vm };
    },
  };
}

function seeingItRun(leftMs: number): StepResult {
  return { isDone: false, step: SEEING_IT_RUN, again: { afterMs: Math.ceil(leftMs) } };
}

function stoppedAgain({ definition, reason, message }: Vm): AgentError {
  return new AgentError(
    'VM_PAUSED',
    `VM ${definition.name} was let go on and has stopped again at once (${reason}). ${message}`,
    { metadata: { vmId: definition.uid } },
  );
}

function resetWork(vms: PowerVerbs): OperationWork {
  /** Done, and not on record yet as the disk is full: a guest must not be reset again for that. */
  const done = new KeptResults<StepResult>();
  return {
    firstStep: 'resetting',
    admit: admits(vms, 'reset'),
    async step({ id, vm: ref }, signal): Promise<StepResult> {
      const earlier = done.get(id);
      if (earlier !== undefined) return earlier;
      return done.keep(id, asReset(await vms.reset(ref, signal)));
    },
  };
}

function asReset(vm: Vm): StepResult {
  if (vm.phase !== 'paused') return { isDone: true, details: vm };
  const command = `novactl vm resume ${commandNameOf(vm.definition)}`;
  const warning = `it is still paused (${vm.reason}); let it begin with ${command}`;
  return { isDone: true, details: vm, warnings: [warning] };
}

function rebootWork(vms: PowerVerbs): OperationWork {
  /** How often the guests had rebooted when they were asked, by the operations. */
  const rebootsBefore = new Map<string, number>();
  return {
    firstStep: 'asking-guest',
    admit: admits(vms, 'reboot'),
    async step(operation, signal, waitedMs): Promise<StepResult> {
      const { id, vm: ref, step } = operation;
      let vm = await vms.get(ref, signal);
      if (step === WAITING_FOR_GUEST && !rebootsBefore.has(id)) return askedOnly(vm);
      if (isOff(vm)) {
        rebootsBefore.delete(id);
        throw wentOff(vm);
      }
      const before = rebootsBefore.get(id) ?? vms.rebootsOf(ref.uid);
      if (!rebootsBefore.has(id)) {
        vm = await vms.reboot(ref, signal);
        rebootsBefore.set(id, before);
      }
      if (vms.rebootsOf(ref.uid) > before) {
        rebootsBefore.delete(id);
        return { isDone: true, result: 'REBOOTED', details: vm };
      }
      const leftMs = timeoutOf(operation) - waitedMs;
      if (leftMs > 0) return waitingForGuest(waitedMs, leftMs, LOOK_FOR_REBOOT_MS);
      rebootsBefore.delete(id);
      const name = commandNameOf(vm.definition);
      throw guestDidNot(
        operation,
        'reboot',
        `see what it says with novactl vm log ${name}, or start it over with novactl vm reset ${name}`,
      );
    },
    /** The guest may still reboot, but nobody waits for it any more. */
    async undo({ id }) {
      rebootsBefore.delete(id);
    },
  };
}

/** An agent was killed after it had asked the guest; what the guest has done since nobody has seen. */
function askedOnly(vm: Vm): StepResult {
  const name = commandNameOf(vm.definition);
  const warning = `an agent was restarted while it waited for the guest, and nobody saw whether that has rebooted; look with novactl vm log ${name}`;
  return { isDone: true, result: 'ASKED', warnings: [warning], details: vm };
}

function wentOff({ definition, message }: Vm): AgentError {
  return new AgentError(
    'VM_NOT_RUNNING',
    `VM ${definition.name} was asked to reboot and went off. ${message}`,
    { metadata: { vmId: definition.uid } },
  );
}
