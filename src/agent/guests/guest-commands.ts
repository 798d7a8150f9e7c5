import { delay } from '../../core/delay.ts';
import { AgentError, hasReason, isHypervisorAway, type Reason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type {
  GuestCommand,
  GuestCommandEnd,
  HypervisorGuestAgent,
} from '../../drivers/hypervisor-guest-agent.ts';
import type { Vm } from '../vms/vm.ts';
import { boundedCommand } from './bounded-command.ts';
import type { GuestRun, GuestRunEnd } from './guest.ts';

export interface GuestCommandsOptions {
  readonly guestAgent: Pick<HypervisorGuestAgent, 'readFacts' | 'startCommand' | 'findCommandEnd'>;
  readonly log: Logger;
}

/** Most programs have ended before somebody would notice; those that have not need not be asked about often. */
const FIRST_LOOK_MS = 20;
const LAST_LOOK_MS = 1_000;
const WINDOWS = 'mswindows';
/** After these a program may still be asked for. */
const PASSING: readonly Reason[] = [
  'GUEST_AGENT_TIMEOUT',
  'GUEST_AGENT_NOT_CONNECTED',
  'VM_BUSY',
  'VM_PAUSED',
];

/** Runs programs in guests, and waits for them. */
export class GuestCommands {
  readonly #options: GuestCommandsOptions;

  constructor(options: GuestCommandsOptions) {
    this.#options = options;
  }

  async run({ definition }: Vm, run: GuestRun, signal: AbortSignal): Promise<GuestRunEnd> {
    const { uid, name } = definition;
    const deadlineMs = performance.now() + run.timeoutMs;
    const pid = await this.#start(uid, run, signal);
    this.#options.log.info({ vmId: uid, pid }, 'Program started in a guest');
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(2 * waitMs, LAST_LOOK_MS)) {
      await delay(Math.max(0, Math.min(waitMs, deadlineMs - performance.now())), signal);
      const end = await this.#look({ uid, name }, pid, signal);
      if (end !== undefined) return { pid, ...cut(end, run.captureBytes) };
      if (performance.now() >= deadlineMs) throw goesOn({ uid, name }, pid, run.timeoutMs);
    }
  }

  async #start(uid: string, run: GuestRun, signal: AbortSignal): Promise<number> {
    const { guestAgent } = this.#options;
    const { os } = await guestAgent.readFacts(uid, ['os'], signal);
    // Whether it is gone by now, the next call says.
    if (os?.value?.id === WINDOWS) return await guestAgent.startCommand(uid, run, signal);
    try {
      return await guestAgent.startCommand(uid, boundedCommand(run), signal);
    } catch (error) {
      if (!hasReason(error, 'GUEST_AGENT_REFUSED')) throw error;
      // There may be no shell; if that is not why, this is refused as well.
      return await guestAgent.startCommand(uid, plain(run), signal);
    }
  }

  /** Undefined also while nobody can be asked: the program goes on meanwhile. */
  async #look(
    { uid, name }: { readonly uid: string; readonly name: string },
    pid: number,
    signal: AbortSignal,
  ): Promise<GuestCommandEnd | undefined> {
    try {
      return await this.#options.guestAgent.findCommandEnd(uid, pid, signal);
    } catch (error) {
      if (isHypervisorAway(error) || hasReason(error, ...PASSING)) return undefined;
      if (!(error instanceof AgentError)) throw error;
      throw lost(error, { uid, name }, pid);
    }
  }
}

function plain({ program, args, stdin }: GuestRun): GuestCommand {
  return { program, args, stdin };
}

function cut(end: GuestCommandEnd, bytes: number): GuestCommandEnd {
  return {
    ...end,
    stdout: end.stdout.subarray(0, bytes),
    stderr: end.stderr.subarray(0, bytes),
    isStdoutCut: end.isStdoutCut || end.stdout.length > bytes,
    isStderrCut: end.isStderrCut || end.stderr.length > bytes,
  };
}

/** It was begun, and nobody will know how it has ended: the VM has gone, or the guest agent was started anew. */
function lost(
  error: AgentError,
  { uid, name }: { readonly uid: string; readonly name: string },
  pid: number,
): AgentError {
  const why = error.message.replace(/^Cannot [^:]*: /, '');
  return new AgentError(
    error.reason,
    `Cannot find out how the program in the guest of VM ${name} has ended, which was begun there as process ${pid}: ${why}`,
    { metadata: { vmId: uid, pid: String(pid) }, cause: error },
  );
}

function goesOn(
  { uid, name }: { readonly uid: string; readonly name: string },
  pid: number,
  timeoutMs: number,
): AgentError {
  return new AgentError(
    'GUEST_COMMAND_TIMED_OUT',
    `The program in the guest of VM ${name} has not ended within ${timeoutMs / 1_000} s; it goes on there as process ${pid} with its children, since the guest agent cannot end it: end it from inside (kill ${pid}), or ask again with a longer time-out`,
    { metadata: { vmId: uid, pid: String(pid) } },
  );
}
