import type {
  AddressReport,
  GuestFactGroup,
  GuestFacts,
  GuestPassword,
  GuestProblem,
  HypervisorGuestAgent,
} from '../../drivers/hypervisor-guest-agent.ts';
import { nameOfRef, naming } from '../vms/deed-words.ts';
import type { Vm, VmRef } from '../vms/vm.ts';
import type { Freeze, FreezeBook } from './freeze-book.ts';
import type { FreezeRequest, Guest, GuestRun, GuestRunEnd, GuestService } from './guest.ts';
import type { GuestCommands } from './guest-commands.ts';
import type { GuestFreezer } from './guest-freezer.ts';
import { type GuestVms, whyNotConnected } from './guest-vms.ts';

export interface GuestManagerOptions {
  readonly guestAgent: HypervisorGuestAgent;
  readonly vms: GuestVms;
  readonly commands: GuestCommands;
  readonly freezer: GuestFreezer;
  readonly freezes: Pick<FreezeBook, 'find'>;
}

const GROUPS: readonly GuestFactGroup[] = ['os', 'hostname', 'timeZone', 'users', 'fileSystems'];

const READ = 'read what the guest says of';
const SET_PASSWORD = 'set a password in the guest of';
const RUN = 'run a program in the guest of';
const FREEZE = 'freeze the file systems of';
const THAW = 'thaw the file systems of';
const SYNC = 'set the clock of the guest of';

/** Asks the guests of this node's VMs what callers want of them. */
export class GuestManager implements GuestService {
  readonly #options: GuestManagerOptions;

  constructor(options: GuestManagerOptions) {
    this.#options = options;
  }

  get(ref: VmRef, signal: AbortSignal): Promise<Guest> {
    return naming(`${READ} ${nameOfRef(ref)}`, this.#get(ref, signal));
  }

  /** One report for each source; only a guest agent that listens is asked. */
  async addresses(vm: Vm, signal: AbortSignal): Promise<readonly AddressReport[]> {
    const { guestAgent } = this.#options;
    const { uid } = vm.definition;
    const problem = problemOf(vm);
    if (problem === undefined)
      return await guestAgent.listAddresses(uid, ['agent', 'lease', 'arp'], signal);
    const byHost = await guestAgent.listAddresses(uid, ['lease', 'arp'], signal);
    return [{ source: 'agent', value: undefined, problem }, ...byHost];
  }

  async run(ref: VmRef, run: GuestRun, signal: AbortSignal): Promise<GuestRunEnd> {
    const { vms, commands } = this.#options;
    const running = vms.getConnected(ref, RUN, signal).then((vm) => commands.run(vm, run, signal));
    return await naming(`${RUN} ${nameOfRef(ref)}`, running);
  }

  async setPassword(ref: VmRef, password: GuestPassword, signal: AbortSignal): Promise<void> {
    await this.#ask(ref, SET_PASSWORD, signal, ({ definition }) =>
      this.#options.guestAgent.setPassword(definition.uid, password, signal),
    );
  }

  async freeze(ref: VmRef, request: FreezeRequest, signal: AbortSignal): Promise<Freeze> {
    return await this.#ask(ref, FREEZE, signal, (vm) =>
      this.#options.freezer.freeze(vm, request, signal),
    );
  }

  async thaw(
    ref: VmRef,
    options: { readonly isForced: boolean },
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#ask(ref, THAW, signal, (vm) =>
      this.#options.freezer.thaw(vm, options, signal),
    );
  }

  async syncTime(ref: VmRef, signal: AbortSignal): Promise<void> {
    await this.#ask(ref, SYNC, signal, ({ definition }) =>
      this.#options.guestAgent.syncTime(definition.uid, signal),
    );
  }

  #ask<T>(
    ref: VmRef,
    purpose: string,
    signal: AbortSignal,
    ask: (vm: Vm) => Promise<T>,
  ): Promise<T> {
    const asking = this.#options.vms.getConnected(ref, purpose, signal).then(ask);
    return naming(`${purpose} ${nameOfRef(ref)}`, asking);
  }

  async #get(ref: VmRef, signal: AbortSignal): Promise<Guest> {
    const { vms, guestAgent, freezes } = this.#options;
    const vm = await vms.get(ref, READ, signal);
    const { namespace, name, uid } = vm.definition;
    const problem = problemOf(vm);
    const read = problem === undefined ? await guestAgent.readFacts(uid, GROUPS, signal) : {};
    const facts = allFacts(read, problem);
    // A guest that does not answer is not asked once more.
    const isSilent = facts.os.problem?.reason === 'GUEST_AGENT_TIMEOUT';
    const asked = isSilent ? { ...vm, guestAgent: 'disconnected' as const } : vm;
    const addresses = await this.addresses(asked, signal);
    return {
      vm: { namespace, name, uid },
      isConnected: problem === undefined,
      facts,
      addresses: isSilent
        ? addresses.map((report) =>
            report.source === 'agent' ? { ...report, problem: facts.os.problem } : report,
          )
        : addresses,
      freeze: freezeOf(freezes.find(uid)),
    };
  }
}

function problemOf(vm: Pick<Vm, 'guestAgent'>): GuestProblem | undefined {
  const why = whyNotConnected(vm);
  if (why === undefined) return undefined;
  return { reason: 'GUEST_AGENT_NOT_CONNECTED', message: `No answer: ${why}` };
}

/** Each group, with the same problem where nothing was asked. */
function allFacts(facts: GuestFacts, problem: GuestProblem | undefined): Required<GuestFacts> {
  const none = { value: undefined, problem };
  return { os: none, hostname: none, timeZone: none, users: none, fileSystems: none, ...facts };
}

function freezeOf(record: ReturnType<FreezeBook['find']>): Freeze | undefined {
  if (record === undefined) return undefined;
  const { requestedBy, deadlineMs } = record;
  return { fileSystems: undefined, requestedBy, deadlineMs };
}
