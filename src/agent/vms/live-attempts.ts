import type { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { LiveChange } from '../../drivers/hypervisor-devices.ts';

/** What was tried of a change that is made while the VM runs. */
export interface LiveAttempt {
  /** Of the definition that was to be brought about. */
  readonly generation: number;
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

  note(
    { uid: vmUid, generation }: Pick<VmDefinition, 'uid' | 'generation'>,
    changes: readonly LiveChange[],
    nowMs: number,
  ): void {
    const before = this.#byVm.get(vmUid);
    const open = changes.filter(({ state }) => state !== 'done');
    const after = new Map(
      open.map(({ key, problem, lack, cpusOnline }) => {
        const sinceMs = before?.get(key)?.sinceMs ?? nowMs;
        return [key, { generation, sinceMs, problem, lack, cpusOnline }];
      }),
    );
    if (after.size > 0) this.#byVm.set(vmUid, after);
    else this.#byVm.delete(vmUid);
    this.#version += 1;
  }

  /** What came of the change with this key; undefined if it was not tried since the VM has been wanted like this. */
  find({ uid, generation }: Pick<VmDefinition, 'uid' | 'generation'>, key: string) {
    const attempt = this.#byVm.get(uid)?.get(key);
    return attempt?.generation === generation ? attempt : undefined;
  }

  /** Of a VM that has nothing left to take over. */
  forget(vmUid: string): void {
    if (this.#byVm.delete(vmUid)) this.#version += 1;
  }
}
