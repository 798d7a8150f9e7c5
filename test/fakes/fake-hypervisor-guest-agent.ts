import { AgentError } from '../../src/core/errors.ts';
import { memoryBytesOf, vcpusOf } from '../../src/core/resources/machine-amounts.ts';
import type {
  AddressReport,
  AddressSource,
  GuestCommand,
  GuestCommandEnd,
  GuestFactGroup,
  GuestFacts,
  GuestOnline,
  GuestPassword,
  HypervisorGuestAgent,
} from '../../src/drivers/hypervisor-guest-agent.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';
import type { FakeHypervisorWorld } from './fake-hypervisor-world.ts';
import { type FakeGuest, isActive } from './fake-vm.ts';

const FACTS: Required<GuestFacts> = {
  os: known({
    id: 'debian',
    name: 'Debian GNU/Linux',
    prettyName: 'Debian GNU/Linux 12 (bookworm)',
    version: '12 (bookworm)',
    kernelRelease: '6.1.0-cloud-amd64',
    machine: 'x86_64',
  }),
  hostname: known('fake-guest'),
  timeZone: known({ name: 'UTC', offsetSeconds: 0 }),
  users: known([{ name: 'root', domain: '', loginAtMs: 1_700_000_000_000 }]),
  fileSystems: known([
    {
      name: 'vda1',
      mountPoint: '/',
      type: 'ext4',
      totalBytes: 8_000_000_000n,
      usedBytes: 1_000_000_000n,
      disks: ['vda'],
    },
  ]),
};
const INTERFACES = [
  {
    name: 'eth0',
    macAddress: '52:54:00:00:00:01',
    addresses: [{ address: '192.0.2.10', prefixLength: 24 }],
  },
];

/** Guest agents that are in memory only. */
export class FakeHypervisorGuestAgent implements HypervisorGuestAgent {
  readonly #calls: FakeHypervisorCalls;
  readonly #world: FakeHypervisorWorld;
  #lastPid = 1_000;
  readonly #running = new Map<number, GuestCommand>();

  constructor(calls: FakeHypervisorCalls, world: FakeHypervisorWorld) {
    this.#calls = calls;
    this.#world = world;
  }

  async readFacts(
    uid: string,
    groups: readonly GuestFactGroup[],
    signal: AbortSignal,
  ): Promise<GuestFacts> {
    return await this.#calls.perform('readFacts', uid, signal, () => {
      const guest = this.#find(uid);
      const wanted = groups.map((group) => [group, factOf(guest, group)]);
      return Object.fromEntries(wanted) as GuestFacts;
    });
  }

  readOnline(
    uid: string,
    { asksMemory }: { readonly asksMemory: boolean },
    signal: AbortSignal,
  ): Promise<GuestOnline> {
    return this.#calls.perform('readOnline', uid, signal, () => {
      const guest = this.#reach(uid);
      const machine = this.#world.get(uid).live.spec.template.spec;
      const seen = vcpusOf(machine);
      const cpus = { seen, online: seen - guest.offlineCpus };
      if (!asksMemory) return { cpus };
      const offlineBytes = guest.offlineMemoryBytes;
      return { cpus, memory: { onlineBytes: memoryBytesOf(machine) - offlineBytes, offlineBytes } };
    });
  }

  async listAddresses(
    uid: string,
    sources: readonly AddressSource[],
    signal: AbortSignal,
  ): Promise<readonly AddressReport[]> {
    return await this.#calls.perform('listAddresses', uid, signal, () => {
      const guest = this.#find(uid);
      return sources.map((source) => {
        if (source !== 'agent') return { source, value: [], problem: undefined };
        const problem = problemOf(guest);
        return { source, value: problem === undefined ? INTERFACES : undefined, problem };
      });
    });
  }

  freeze(uid: string, signal: AbortSignal): Promise<number> {
    return this.#calls.perform('freeze', uid, signal, () => {
      const guest = this.#reach(uid);
      guest.isFrozen = true;
      return 1;
    });
  }

  thaw(uid: string, signal: AbortSignal): Promise<number> {
    return this.#calls.perform('thaw', uid, signal, () => {
      const guest = this.#reach(uid, 'frozen or not');
      const thawed = guest.isFrozen ? 1 : 0;
      guest.isFrozen = false;
      return thawed;
    });
  }

  isFrozen(uid: string, signal: AbortSignal): Promise<boolean> {
    return this.#calls.perform(
      'isFrozen',
      uid,
      signal,
      () => this.#reach(uid, 'frozen or not').isFrozen,
    );
  }

  async setPassword(
    uid: string,
    { user, password }: GuestPassword,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#calls.perform('setPassword', uid, signal, () => {
      this.#reach(uid).passwords.set(user, password);
    });
  }

  async syncTime(uid: string, signal: AbortSignal): Promise<void> {
    await this.#calls.perform('syncTime', uid, signal, () => {
      this.#reach(uid).clockSets += 1;
    });
  }

  startCommand(uid: string, command: GuestCommand, signal: AbortSignal): Promise<number> {
    return this.#calls.perform('startCommand', uid, signal, () => {
      const guest = this.#reach(uid);
      if (command.program === '/no/such') throw refused('No such file or directory');
      this.#lastPid += 1;
      const pid = this.#lastPid;
      guest.commands.push({ pid, words: [command.program, ...command.args] });
      this.#running.set(pid, command);
      return pid;
    });
  }

  findCommandEnd(
    uid: string,
    pid: number,
    signal: AbortSignal,
  ): Promise<GuestCommandEnd | undefined> {
    return this.#calls.perform('findCommandEnd', uid, signal, () => {
      const guest = this.#reach(uid);
      const command = this.#running.get(pid);
      if (command === undefined) throw refused("Invalid parameter 'pid'");
      const end = guest.runs(command);
      if (end === undefined) return undefined;
      this.#running.delete(pid);
      return {
        exitCode: 'signal' in end ? undefined : 0,
        signal: undefined,
        stdout: new Uint8Array(),
        stderr: new Uint8Array(),
        isStdoutCut: false,
        isStderrCut: false,
        ...end,
      };
    });
  }

  #find(uid: string): FakeGuest | undefined {
    const vm = this.#world.get(uid);
    if (!isActive(vm)) throw new AgentError('VM_NOT_RUNNING', `VM ${uid} is off`);
    if (vm.state === 'paused') throw new AgentError('VM_PAUSED', `VM ${uid} is paused`);
    return vm.guest;
  }

  #reach(uid: string, when: 'thawed' | 'frozen or not' = 'thawed'): FakeGuest {
    const guest = this.#find(uid);
    const problem = problemOf(guest);
    if (guest === undefined || problem !== undefined) {
      throw new AgentError('GUEST_AGENT_NOT_CONNECTED', 'No guest agent listens');
    }
    if (guest.isFrozen && when === 'thawed') throw refused('The command has been disabled');
    return guest;
  }
}

/** One that does what it is asked; programs end at once, with what they were given. */
export function obedientGuest(): FakeGuest {
  return {
    isConnected: true,
    isFrozen: false,
    offlineCpus: 0,
    offlineMemoryBytes: 0,
    clockSets: 0,
    passwords: new Map(),
    commands: [],
    runs: ({ stdin }) => ({ exitCode: 0, stdout: stdin }),
  };
}

function factOf(guest: FakeGuest | undefined, group: GuestFactGroup): GuestFacts[GuestFactGroup] {
  const problem = problemOf(guest);
  return problem === undefined ? FACTS[group] : { value: undefined, problem };
}

function problemOf(guest: FakeGuest | undefined) {
  if (guest?.isConnected === true) return undefined;
  return { reason: 'GUEST_AGENT_NOT_CONNECTED', message: 'No guest agent listens' } as const;
}

function known<T>(value: T) {
  return { value, problem: undefined };
}

function refused(why: string): AgentError {
  return new AgentError('GUEST_AGENT_REFUSED', `The guest agent says: ${why}`);
}
