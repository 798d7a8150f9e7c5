import type { Duplex } from 'node:stream';
import { delay } from '../../core/delay.ts';
import { AgentError, hasReason, isHypervisorAway } from '../../core/errors.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { ConsoleReader } from '../../drivers/console.ts';
import type { HypervisorConsoles, Picture } from '../../drivers/hypervisor-consoles.ts';
import { type HypervisorDomains, isOn } from '../../drivers/hypervisor-domains.ts';
import type { HypervisorEvents } from '../../drivers/hypervisor-events.ts';
import { nameOfRef, naming } from '../vms/deed-words.ts';
import type { Ownership } from '../vms/ownership.ts';
import { assertRead } from '../vms/unread-vms.ts';
import type { Vm, VmRef, VmService } from '../vms/vm.ts';
import { isOff } from '../vms/vm-phase.ts';
import { PacedWriter, readPaced } from './byte-stream.ts';
import type {
  ConsoleEvent,
  ConsoleService,
  OpenConsoleOptions,
  OpenedConsole,
  OpenedDisplay,
} from './console.ts';
import type { ConsoleSeat } from './console-seat.ts';
import { overlapOf } from './overlap.ts';
import { SerialConsole } from './serial-console.ts';

export interface ConsoleManagerOptions {
  readonly consoles: HypervisorConsoles;
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly vms: Pick<VmService, 'get'>;
  readonly ownership: Pick<Ownership, 'assertOwned'>;
  /** What guests have written before. */
  readonly console: ConsoleReader;
  readonly events: HypervisorEvents;
  readonly tasks: Pick<TaskGroup, 'signal'>;
  /** So long a VM whose console has ended is given to be seen off; default 5 s. */
  readonly settleMs?: number | undefined;
}

/** A libvirtd that is started again is back by then. */
const REOPEN_PATIENCE_MS = 60_000;
const REOPEN_DELAY_MS = 100;
const SETTLE_MS = 5_000;
const LET_GO_MS = 1_000;

/** Consoles and screens of the VMs of this node. */
export class ConsoleManager implements ConsoleService {
  readonly #options: ConsoleManagerOptions;
  readonly #open = new Map<string, SerialConsole>();
  readonly #opening = new Map<string, Promise<SerialConsole>>();
  /** When each was let go of last. */
  readonly #lastClosedMs = new Map<string, number>();
  /** How often the hypervisor was lost. */
  #losses = 0;

  constructor(options: ConsoleManagerOptions) {
    this.#options = options;
  }

  /** Takes note of when the hypervisor is lost, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const { kind } of this.#options.events.watch(signal)) {
      if (kind === 'disconnected') this.#losses += 1;
    }
  }

  async openConsole(
    ref: VmRef,
    options: OpenConsoleOptions,
    signal: AbortSignal,
  ): Promise<OpenedConsole> {
    const { mode, scrollbackBytes, who } = options;
    const vm = await this.#running(ref, 'open the console of', signal);
    const { uid } = vm.definition;
    const console = await this.#consoleOf(vm, mode === 'take-over', signal);
    const seat = console.join(who, mode);
    const leave = () => console.leave(seat);
    try {
      const before = await this.#readBefore(uid, scrollbackBytes, seat, signal);
      const { writer } = console;
      const isOther = mode === 'read';
      return {
        vm: vm.definition,
        others: console.size - 1,
        otherWriter: isOther ? writer : undefined,
        isPaused: vm.phase === 'paused',
        events: (until) => inOrder(before, seat, until),
        type: (data, until) => console.type(seat, data, until),
        [Symbol.dispose]: leave,
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async openDisplay(ref: VmRef, signal: AbortSignal): Promise<OpenedDisplay> {
    const vm = await this.#running(ref, 'open the display of', signal);
    const stream = await this.#options.consoles.openDisplay(vm.definition.uid, signal);
    const writer = new PacedWriter();
    return {
      vm: vm.definition,
      read: (until) => readPaced(stream, until),
      write: (data, until) => writer.write(stream, data, until),
      [Symbol.dispose]: () => stream.destroy(),
    };
  }

  async takeScreenshot(ref: VmRef, signal: AbortSignal): Promise<Picture> {
    const { definition } = await this.#running(ref, 'take a screenshot of', signal);
    return await this.#options.consoles.takeScreenshot(definition.uid, signal);
  }

  async sendKeys(ref: VmRef, codes: readonly number[], signal: AbortSignal): Promise<void> {
    const { definition } = await this.#running(ref, 'send keys to', signal);
    await this.#options.consoles.sendKeys(definition.uid, codes, signal);
  }

  async #running(ref: VmRef, what: string, signal: AbortSignal): Promise<Vm> {
    const { vms, ownership } = this.#options;
    const vm = await naming(`${what} ${nameOfRef(ref)}`, vms.get(ref, signal));
    const { uid } = vm.definition;
    assertRead(vm);
    ownership.assertOwned(vm.definition);
    if (!isOff(vm)) return vm;
    throw new AgentError(
      'VM_NOT_RUNNING',
      `Cannot ${what} ${nameOfRef(vm.definition)}: it is off`,
      {
        metadata: { vmId: uid },
      },
    );
  }

  async #consoleOf(vm: Vm, takeOver: boolean, signal: AbortSignal): Promise<SerialConsole> {
    const { uid } = vm.definition;
    for (;;) {
      const present = this.#open.get(uid);
      if (present !== undefined) return present;
      const others = this.#opening.get(uid);
      try {
        return await untilAborted(others ?? this.#beginOpening(vm, takeOver), signal);
      } catch (error) {
        // Who was opening it did not mean to take it over.
        if (others === undefined || !takeOver || !hasReason(error, 'CONSOLE_IN_USE')) throw error;
      }
    }
  }

  /** In behalf of all who come meanwhile, so that the first may give up. */
  #beginOpening({ definition }: Vm, takeOver: boolean): Promise<SerialConsole> {
    const { uid } = definition;
    const open = async (): Promise<SerialConsole> => {
      try {
        let losses = this.#losses;
        const stream = await this.#openSerial(uid, takeOver);
        const console: SerialConsole = new SerialConsole(stream, {
          name: nameOfRef(definition),
          vmUid: uid,
          reopen: async () => {
            const before = losses;
            if (await this.#isOver(uid, before)) return undefined;
            losses = this.#losses;
            return await this.#reopen(uid, nameOfRef(definition));
          },
          onClosed: () => {
            if (this.#open.get(uid) === console) this.#open.delete(uid);
            this.#lastClosedMs.set(uid, performance.now());
          },
        });
        this.#open.set(uid, console);
        // Those who wait for it join before that.
        setImmediate(() => console.closeIfUnused());
        return console;
      } finally {
        this.#opening.delete(uid);
      }
    };
    const opening = open();
    // All who waited for it may have given up.
    opening.catch(() => undefined);
    this.#opening.set(uid, opening);
    return opening;
  }

  /** libvirt learns a little later that one was let go of. */
  async #openSerial(uid: string, takeOver: boolean): Promise<Duplex> {
    const { consoles, tasks } = this.#options;
    const closedMs = this.#lastClosedMs.get(uid) ?? Number.NEGATIVE_INFINITY;
    for (;;) {
      try {
        const stream = await consoles.openSerial(uid, { takeOver }, tasks.signal);
        this.#lastClosedMs.delete(uid);
        return stream;
      } catch (error) {
        const isOurs = performance.now() - closedMs < LET_GO_MS;
        if (!isOurs || !hasReason(error, 'CONSOLE_IN_USE')) throw error;
        await delay(REOPEN_DELAY_MS, tasks.signal);
      }
    }
  }

  /**
   * Whether a console has ended with the run of its VM. While libvirt ends a run it still calls the VM running, and the terminal that its
   * console was may by then be somebody else's: so nothing is opened again before it is known what has ended, or that the hypervisor
   * was lost.
   */
  async #isOver(uid: string, losses: number): Promise<boolean> {
    const { domains, tasks, settleMs = SETTLE_MS } = this.#options;
    const endMs = performance.now() + settleMs;
    while (this.#losses === losses && performance.now() < endMs) {
      try {
        const found = await domains.find(uid, tasks.signal);
        if (found === undefined || !isOn(found)) return true;
      } catch (error) {
        if (!isHypervisorAway(error)) throw error;
        return false;
      }
      await delay(REOPEN_DELAY_MS, tasks.signal);
    }
    return false;
  }

  /** After a libvirtd that was started again. Undefined where the VM no longer runs here. */
  async #reopen(uid: string, name: string): Promise<Duplex | undefined> {
    const { consoles, tasks } = this.#options;
    const endMs = performance.now() + REOPEN_PATIENCE_MS;
    for (;;) {
      await delay(REOPEN_DELAY_MS, tasks.signal);
      try {
        return await consoles.openSerial(uid, { takeOver: false }, tasks.signal);
      } catch (error) {
        if (hasReason(error, 'VM_NOT_RUNNING', 'VM_NOT_FOUND')) return undefined;
        if (hasReason(error, 'CONSOLE_IN_USE')) {
          throw new AgentError(
            'CONSOLE_IN_USE',
            `The console of ${name} was taken over by another program of the node, such as virsh console`,
            { metadata: { vmId: uid }, cause: error },
          );
        }
        if (!isHypervisorAway(error) || performance.now() > endMs) throw error;
      }
    }
  }

  /** What was written before the seat was taken. */
  async #readBefore(
    uid: string,
    bytes: number,
    seat: ConsoleSeat,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { domains, console } = this.#options;
    if (bytes === 0) return new Uint8Array();
    const path = (await domains.find(uid, signal))?.consoleLogPath;
    if (path === undefined) return new Uint8Array();
    const options = { tailBytes: bytes, followUntil: undefined };
    const pieces = await Array.fromAsync(console.read(path, options, signal));
    const logged = Buffer.concat(pieces);
    const live = seat.takeOutput();
    return Buffer.concat([logged, live.subarray(overlapOf(logged, live))]);
  }
}

async function* inOrder(
  before: Uint8Array,
  seat: ConsoleSeat,
  signal: AbortSignal,
): AsyncGenerator<ConsoleEvent, void, undefined> {
  if (before.length > 0) yield { kind: 'output', data: before };
  yield* seat.events(signal);
}
