import { type Duplex, duplexPair } from 'node:stream';
import { AgentError } from '../../src/core/errors.ts';
import type {
  HypervisorConsoles,
  OpenSerialOptions,
  Picture,
} from '../../src/drivers/hypervisor-consoles.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';
import type { FakeHypervisorWorld } from './fake-hypervisor-world.ts';
import { type FakeVm, isActive } from './fake-vm.ts';

/** Of two points. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8DAAMQABv0B/xZ3z8IAAAAASUVORK5CYII=',
  'base64',
);

/** Consoles of VMs that are in memory only. */
export class FakeHypervisorConsoles implements HypervisorConsoles {
  readonly #calls: FakeHypervisorCalls;
  readonly #world: FakeHypervisorWorld;
  readonly #serial = new Map<string, Connected>();
  readonly #displays = new Map<string, Set<Connected>>();
  /** Keys that VMs were sent, such as `29 56 111`. */
  readonly sentKeys: string[] = [];

  constructor(calls: FakeHypervisorCalls, world: FakeHypervisorWorld) {
    this.#calls = calls;
    this.#world = world;
  }

  async openSerial(
    uid: string,
    { takeOver }: OpenSerialOptions,
    signal: AbortSignal,
  ): Promise<Duplex> {
    return await this.#calls.perform('openSerial', uid, signal, () => {
      this.#running(uid);
      const present = this.#serial.get(uid);
      if (present !== undefined && !takeOver) {
        throw new AgentError('CONSOLE_IN_USE', `Another program has the console of VM ${uid} open`);
      }
      present?.guest.destroy();
      const connected = connect();
      this.#serial.set(uid, connected);
      connected.ours.once('close', () => {
        if (this.#serial.get(uid) === connected) this.#serial.delete(uid);
        connected.guest.destroy();
      });
      return connected.ours;
    });
  }

  async openDisplay(uid: string, signal: AbortSignal): Promise<Duplex> {
    return await this.#calls.perform('openDisplay', uid, signal, () => {
      this.#withDisplay(uid);
      const connected = connect();
      const all = this.#displays.get(uid) ?? new Set();
      this.#displays.set(uid, all.add(connected));
      return connected.ours;
    });
  }

  async takeScreenshot(uid: string, signal: AbortSignal): Promise<Picture> {
    return await this.#calls.perform('takeScreenshot', uid, signal, () => {
      this.#withDisplay(uid);
      return { width: 2, height: 1, png: PNG };
    });
  }

  async sendKeys(uid: string, codes: readonly number[], signal: AbortSignal): Promise<void> {
    await this.#calls.perform('sendKeys', uid, signal, () => {
      this.#running(uid);
      this.sentKeys.push(codes.join(' '));
    });
  }

  /** The guest's end of its serial console; undefined while nobody has it open. */
  guestOf(uid: string): Duplex | undefined {
    return this.#serial.get(uid)?.guest;
  }

  /** The server's ends of all who look at a VM. */
  displaysOf(uid: string): readonly Duplex[] {
    return [...(this.#displays.get(uid) ?? [])].map(({ guest }) => guest);
  }

  /** What is open of a VM ends. */
  end(uid: string): void {
    this.#serial.get(uid)?.guest.destroy();
    for (const { guest } of this.#displays.get(uid) ?? []) guest.destroy();
    this.#serial.delete(uid);
    this.#displays.delete(uid);
  }

  #running(uid: string): FakeVm {
    const vm = this.#world.get(uid);
    if (!isActive(vm)) throw new AgentError('VM_NOT_RUNNING', `VM ${uid} is off`);
    return vm;
  }

  #withDisplay(uid: string): void {
    const { live } = this.#running(uid);
    if (live.spec.template.spec.display?.type === 'vnc') return;
    throw new AgentError('DISPLAY_NOT_FOUND', `VM ${uid} has no display`);
  }
}

interface Connected {
  readonly ours: Duplex;
  readonly guest: Duplex;
}

/** What one end is destroyed with, the other sees as its end. */
function connect(): Connected {
  const [ours, guest] = duplexPair();
  for (const [one, other] of [
    [ours, guest],
    [guest, ours],
  ] as const) {
    one.on('error', () => undefined);
    one.once('close', () => other.destroy());
  }
  return { ours, guest };
}
