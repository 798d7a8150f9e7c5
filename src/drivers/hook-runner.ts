/** Runs programs of this node around the life of its VMs. */
export interface HookRunner {
  /**
   * Why a program is not run on this node, and what to do about it: a sentence that goes on after its path. Undefined if nothing
   * speaks against it now. Changes nothing.
   */
  findProblem(program: string, signal: AbortSignal): Promise<string | undefined>;

  /**
   * Runs a program once, and answers when it has ended with all that it has started; a program that fails is an answer too. Once
   * its time is over, or the signal is aborted, it is asked to end, and made to if it does not in a few seconds; an abort is
   * rethrown after that. Fails with HOOK_NOT_ALLOWED if `findProblem` has something to say. Ends first what a run of an agent
   * before this one has left of this VM's hooks.
   */
  run(request: HookRequest, signal: AbortSignal): Promise<HookOutcome>;

  /** Ends what is left of hooks of these VMs that an agent before this one has begun. Nothing being left is fine. */
  endLeft(vmUids: readonly string[], signal: AbortSignal): Promise<void>;
}

export type HookName = 'preStart' | 'postStart' | 'preStop';

export interface HookRequest {
  readonly hook: HookName;
  readonly vm: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** The absolute path of a program, and its arguments. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

export interface HookOutcome {
  /** How it has failed, in words that go on after its name, such as `ended with exit code 3`; undefined if it has not. */
  readonly failure: string | undefined;
  /** The last of what it has written, at most 4 KiB, in one line of printable characters; empty if that is nothing. */
  readonly output: string;
}
