import type { AgentError } from '../../core/errors.ts';
import type { LiveChange } from '../../drivers/hypervisor-devices.ts';

/** What was tried of a change that is made while the VM runs. */
export interface LiveAttempt {
  /** When this agent has first asked for it, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** Why the last attempt has failed; undefined where the guest has not answered yet. */
  readonly problem: AgentError | undefined;
  /** What the guest has not done, for people. */
  readonly lack: string | undefined;
  readonly cpusOnline: number | undefined;
}

/** What has become of changes that VMs are to take over while they run, as far as that was tried since the agent was started. */
export class LiveAttempts {
  readonly #byVm = new Map<string, Map<string, LiveAttempt>>();
  #version = 0;

  /** Grows with whatever is noted. */
  get version(): number {
    return this.#version;
  }

  note(vmUid: string, changes: readonly LiveChange[], nowMs: number): void {
    const before = this.#byVm.get(vmUid);
    const open = changes.filter(({ state }) => state !== 'done');
    const after = new Map(
      open.map(({ field, problem, lack, cpusOnline }) => {
        const sinceMs = before?.get(field)?.sinceMs ?? nowMs;
        return [field, { sinceMs, problem, lack, cpusOnline }];
      }),
    );
    if (after.size > 0) this.#byVm.set(vmUid, after);
    else this.#byVm.delete(vmUid);
    this.#version += 1;
  }

  find(vmUid: string, field: string): LiveAttempt | undefined {
    return this.#byVm.get(vmUid)?.get(field);
  }

  /** Of a VM that has nothing left to take over. */
  forget(vmUid: string): void {
    if (this.#byVm.delete(vmUid)) this.#version += 1;
  }
}
