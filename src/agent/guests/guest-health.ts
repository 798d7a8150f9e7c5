import { AgentError, hasReason, type Reason } from '../../core/errors.ts';
import type { HypervisorEvents } from '../../drivers/hypervisor-events.ts';
import type { GuestProblem, HypervisorGuestAgent } from '../../drivers/hypervisor-guest-agent.ts';

export interface GuestHealthOptions {
  readonly events: HypervisorEvents;
  /** Called when something else is to be said of a guest agent. */
  readonly onChange: () => void;
}

/** What says of a guest agent that there is no use in it. */
const USELESS: readonly Reason[] = ['GUEST_AGENT_NOT_CONNECTED', 'GUEST_AGENT_TIMEOUT'];

/**
 * How the guest agents fared that were asked last. libvirt calls one connected that has opened its port, whether it answers or
 * not, and also one that libvirt itself does not listen to any more. Nobody is asked for this.
 */
export class GuestHealth {
  readonly #options: GuestHealthOptions;
  readonly #problems = new Map<string, GuestProblem>();

  constructor(options: GuestHealthOptions) {
    this.#options = options;
  }

  /** Why the guest agent was of no use the last time; undefined if it was, or was not asked since it has come. */
  find(vmUid: string): GuestProblem | undefined {
    return this.#problems.get(vmUid);
  }

  /** Forgets what was before a guest agent has come or gone, until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const event of this.#options.events.watch(signal)) {
      const isAnew = event.kind === 'lifecycle' && event.event === 'stopped';
      if (event.kind === 'guest-agent' || isAnew) this.#note(event.uid, undefined);
    }
  }

  /** The same guest agents, whose answers are noted. */
  watching(guestAgent: HypervisorGuestAgent): HypervisorGuestAgent {
    return {
      readFacts: async (uid, groups, signal) => {
        const facts = await this.#noting(uid, guestAgent.readFacts(uid, groups, signal));
        const problems = Object.values(facts).map((fact) => fact.problem);
        const useless = problems.find((problem) => problem && USELESS.includes(problem.reason));
        this.#note(uid, useless);
        return facts;
      },
      readOnline: (uid, options, signal) =>
        this.#noting(uid, guestAgent.readOnline(uid, options, signal)),
      // Where only the host was asked, no guest has answered.
      listAddresses: (uid, sources, signal) => guestAgent.listAddresses(uid, sources, signal),
      freeze: (uid, signal) => this.#noting(uid, guestAgent.freeze(uid, signal)),
      thaw: (uid, signal) => this.#noting(uid, guestAgent.thaw(uid, signal)),
      isFrozen: (uid, signal) => this.#noting(uid, guestAgent.isFrozen(uid, signal)),
      setPassword: (uid, password, signal) =>
        this.#noting(uid, guestAgent.setPassword(uid, password, signal)),
      syncTime: (uid, signal) => this.#noting(uid, guestAgent.syncTime(uid, signal)),
      startCommand: (uid, command, signal) =>
        this.#noting(uid, guestAgent.startCommand(uid, command, signal)),
      findCommandEnd: (uid, pid, signal) =>
        this.#noting(uid, guestAgent.findCommandEnd(uid, pid, signal)),
    };
  }

  async #noting<T>(uid: string, asking: Promise<T>): Promise<T> {
    try {
      const answer = await asking;
      this.#note(uid, undefined);
      return answer;
    } catch (error) {
      if (hasReason(error, ...USELESS)) this.#note(uid, problemOf(error));
      throw error;
    }
  }

  #note(uid: string, problem: GuestProblem | undefined): void {
    const before = this.#problems.get(uid);
    if (problem === undefined) this.#problems.delete(uid);
    else this.#problems.set(uid, problem);
    if (before?.reason !== problem?.reason) this.#options.onChange();
  }
}

/** Without what was to be done. */
function problemOf({ reason, message }: AgentError): GuestProblem {
  return { reason, message: message.replace(/^Cannot [^:]*: /, '') };
}
