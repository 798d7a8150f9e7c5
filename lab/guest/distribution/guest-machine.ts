import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { LabError } from '../../core/project.ts';
import { waitUntil } from '../../core/wait-until.ts';
import type { DistributionGuest } from './distribution-guest.ts';
import { GuestAgent, type GuestResult } from './guest-agent.ts';
import { type Seed, writeSeed } from './seed.ts';

/** A machine with nothing else to do needs a tenth of it. */
const BOOT_TIMEOUT_MS = 480_000;
const COMMAND_TIMEOUT_MS = 120_000;
const SAID_CHARACTERS = 2_000;

// It boots in half of it; but an agent in it keeps 1 GiB for its host, and VMs have the rest.
const MEMORY_MIB = '2048';

/** What a guest calls this machine by, for what listens on its loopback. */
export const HOST_ADDRESS = '10.0.2.2';

/** A distribution guest on a QEMU of its own: a machine to try things on. Ends with its test, its disk forgotten. */
export class GuestMachine implements AsyncDisposable {
  readonly #qemu: ChildProcess;
  readonly #folder: string;
  #agent: GuestAgent | undefined;

  private constructor(qemu: ChildProcess, folder: string) {
    this.#qemu = qemu;
    this.#folder = folder;
  }

  /** Boots it, and waits until its agent answers; cloud-init may still be at work. */
  static async boot(
    guest: DistributionGuest,
    seed: Seed,
    signal: AbortSignal,
  ): Promise<GuestMachine> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-guest-'));
    const seedPath = await writeSeed(seed, folder, signal);
    const machine = new GuestMachine(startQemu(guest, seedPath, folder), folder);
    try {
      await machine.#connect(signal);
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a script as root's own shell does, whatever its exit code. */
  async tryRun(
    script: string,
    signal: AbortSignal,
    options: { readonly timeoutMs?: number; readonly input?: string } = {},
  ): Promise<GuestResult> {
    if (this.#agent === undefined) throw new LabError('The guest is off');
    return this.#agent.run(script, { timeoutMs: COMMAND_TIMEOUT_MS, ...options }, signal);
  }

  /** Like tryRun, but an exit code other than 0 is an error that carries what was said. */
  async run(
    script: string,
    signal: AbortSignal,
    options: { readonly timeoutMs?: number; readonly input?: string } = {},
  ): Promise<string> {
    const { code, stdout, stderr } = await this.tryRun(script, signal, options);
    if (code === 0) return stdout;
    throw new LabError(`In the guest, ${script} failed with ${code}:\n${stderr}${stdout}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent?.[Symbol.dispose]();
    this.#agent = undefined;
    if (this.#qemu.exitCode === null && this.#qemu.signalCode === null) {
      const exit = once(this.#qemu, 'exit');
      this.#qemu.kill('SIGKILL');
      await exit;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)]);
    const socket = `${this.#folder}/agent.sock`;
    try {
      await waitUntil('QEMU', BOOT_TIMEOUT_MS, () => this.#hasEnded() || existsSync(socket), limit);
      this.#agent = await GuestAgent.connect(socket, limit);
    } catch (error) {
      signal.throwIfAborted();
      throw new LabError(`The guest did not boot; it said\n${await this.#said()}`, {
        cause: error,
      });
    }
  }

  #hasEnded(): boolean {
    return this.#qemu.exitCode !== null || this.#qemu.signalCode !== null;
  }

  async #said(): Promise<string> {
    const texts = await Promise.all(
      ['qemu.log', 'console.log'].map(async (name) =>
        readFile(`${this.#folder}/${name}`, 'utf8').catch(() => ''),
      ),
    );
    return texts.join('').slice(-SAID_CHARACTERS);
  }
}

function startQemu(guest: DistributionGuest, seed: string, folder: string): ChildProcess {
  const qemu = [
    ['qemu-system-x86_64'],
    // Not the newest of CPUs: AVX is slower than what it replaces, where it is emulated.
    ['-accel', 'tcg,thread=multi', '-machine', 'q35', '-cpu', 'Nehalem'],
    ['-smp', '2', '-m', MEMORY_MIB, '-nodefaults', '-no-user-config', '-display', 'none'],
    // As every machine has one.
    ['-uuid', randomUUID()],
    ['-kernel', guest.kernelPath, '-initrd', guest.initrdPath, '-append', guest.commandLine],
    // What is written goes to a file without a name, which ends with QEMU.
    ['-drive', `if=none,id=root,file=${guest.imagePath},format=raw,snapshot=on,cache=unsafe`],
    ['-device', 'virtio-blk-pci,drive=root'],
    ['-drive', `if=none,id=seed,file=${seed},format=raw,readonly=on`],
    ['-device', 'virtio-blk-pci,drive=seed'],
    ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='],
    ['-device', 'virtio-rng-pci', '-serial', `file:${folder}/console.log`],
    ['-chardev', `socket,id=agent,path=${folder}/agent.sock,server=on,wait=off`],
    ['-device', 'virtio-serial-pci'],
    ['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
  ];
  const log = openSync(`${folder}/qemu.log`, 'w');
  const command = ['--pdeathsig', 'KILL', '--', ...qemu.flat()];
  const child = spawn('setpriv', command, { stdio: ['ignore', 'ignore', log] });
  closeSync(log);
  return child;
}
