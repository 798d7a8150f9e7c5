import { AgentError } from '../../core/errors.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { HookOutcome, HookRequest, HookRunner } from '../hook-runner.ts';
import { HookProcess } from './hook-process.ts';
import { endMarked } from './hook-processes.ts';
import { type HookUser, lookAtProgram } from './hook-program.ts';
import { findHookUser } from './hook-user.ts';

export interface ProcessHookRunnerOptions {
  readonly nodeName: string;
  /** Whether this node runs hooks at all. */
  readonly isOn: boolean;
  readonly folder: string;
  /** By name. */
  readonly user: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const OFF =
  'this node runs no hooks; say lifecycle.hooks: true in its configuration (docs/hooks.md), leave the hook out, or choose another node';

/** A program, ready to be run. */
interface Runnable {
  readonly file: string;
  readonly user: HookUser;
}

/** Runs hooks as processes of an unprivileged user. */
export class ProcessHookRunner implements HookRunner {
  readonly #options: ProcessHookRunnerOptions;
  #endingLeft = Promise.resolve();

  constructor(options: ProcessHookRunnerOptions) {
    this.#options = options;
  }

  async findProblem(program: string, signal: AbortSignal): Promise<string | undefined> {
    const look = await this.#look(program, signal);
    return 'problem' in look ? look.problem : undefined;
  }

  async run(request: HookRequest, signal: AbortSignal): Promise<HookOutcome> {
    const { hook, vm, command, timeoutMs } = request;
    const [program = '', ...args] = command;
    const look = await this.#look(program, signal);
    if ('problem' in look) {
      throw new AgentError('HOOK_NOT_ALLOWED', look.problem, { metadata: { vmId: vm.uid } });
    }
    const { file, user } = look;
    // What ends those that were left would take a new one for one of them.
    await untilAborted(
      this.#endingLeft.catch(() => undefined),
      signal,
    );
    const mark = { nodeName: this.#options.nodeName, vmUids: [vm.uid] };
    await endMarked(user.uid, mark);
    signal.throwIfAborted();
    const environment = {
      NOVACRON_VM_NAME: vm.name,
      NOVACRON_VM_NAMESPACE: vm.namespace,
      NOVACRON_VM_UID: vm.uid,
      NOVACRON_HOOK: hook,
      NOVACRON_NODE: this.#options.nodeName,
      PATH,
    };
    const process = new HookProcess({ file, args, user, environment, mark });
    const isOver = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const late = `has not ended within ${timeoutMs / 1_000} s, and was ended`;
    const failure = await process.end(isOver, late);
    signal.throwIfAborted();
    return { failure, output: process.output.text() };
  }

  async #endLeft(vmUids: readonly string[], signal: AbortSignal): Promise<void> {
    const { nodeName, user: name } = this.#options;
    if (vmUids.length === 0) return;
    const user = await findHookUser(name, signal);
    if ('uid' in user) await endMarked(user.uid, { nodeName, vmUids });
  }

  async endLeft(vmUids: readonly string[], signal: AbortSignal): Promise<void> {
    this.#endingLeft = this.#endLeft(vmUids, signal);
    await this.#endingLeft;
  }

  async #look(
    program: string,
    signal: AbortSignal,
  ): Promise<Runnable | { readonly problem: string }> {
    const { isOn, folder, user: name } = this.#options;
    signal.throwIfAborted();
    if (!isOn) return { problem: OFF };
    const user = await findHookUser(name, signal);
    if ('problem' in user) return user;
    const look = await lookAtProgram(program, folder, user);
    return 'problem' in look ? look : { ...look, user };
  }
}
