import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, constants, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { inProject } from '../core/project.ts';
import { tryRun } from '../core/run-command.ts';
import type { DemoGuest } from './demo-guest.ts';

const BOOT_TIMEOUT_MS = 8_000;
/** A busy machine may have kept a guest from booting in time. */
const DOUBT_MS = 3_600_000;
const CACHE = inProject('build/lab');

export interface AcceleratorChoice {
  readonly accelerator: 'kvm' | 'tcg';
  /** Why, for people. */
  readonly reason: string;
}

/**
 * KVM where a guest really boots with it: a nested /dev/kvm may open, make VMs and still not run a Linux kernel.
 * The answer is kept for this kernel, QEMU and CPU: that a guest boots for good, that none does for an hour.
 */
export async function chooseAccelerator(
  guest: DemoGuest,
  signal: AbortSignal,
): Promise<AcceleratorChoice> {
  if (!(await canOpen('/dev/kvm')))
    return { accelerator: 'tcg', reason: 'there is no usable /dev/kvm' };
  const version = await tryRun(['qemu-system-x86_64', '--version'], {}, signal);
  const facts = [os.version(), os.release(), os.cpus()[0]?.model, version.stdout, guest.kernelPath];
  const key = createHash('sha256').update(facts.join('\n')).digest('hex').slice(0, 16);
  const file = `${CACHE}/kvm-probe-${key}.json`;
  const earlier = await recallChoice(file);
  if (earlier !== undefined) return earlier;
  const choice = await boots(guest, signal);
  await mkdir(CACHE, { recursive: true });
  await writeFile(file, JSON.stringify(choice));
  return choice;
}

/** An earlier answer that still holds. */
export async function recallChoice(file: string): Promise<AcceleratorChoice | undefined> {
  try {
    const choice = JSON.parse(await readFile(file, 'utf8')) as AcceleratorChoice;
    const { mtimeMs } = await stat(file);
    return choice.accelerator === 'kvm' || Date.now() - mtimeMs < DOUBT_MS ? choice : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function canOpen(device: string): Promise<boolean> {
  return access(device, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

async function boots(guest: DemoGuest, signal: AbortSignal): Promise<AcceleratorChoice> {
  const machine = ['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '256M', '-nodefaults'];
  const output = ['-display', 'none', '-no-reboot', '-serial', 'stdio'];
  const kernel = ['-kernel', guest.kernelPath, '-initrd', guest.initrdPath];
  const append = ['-append', `${guest.commandLine} demo.region=1M demo.fill=0`];
  const child = spawn('qemu-system-x86_64', [...machine, ...output, ...kernel, ...append], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)]),
  });
  let said = '';
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const heartbeat = await new Promise<boolean>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('novacron-demo count=')) resolve(true);
    });
    child.on('error', () => {
      resolve(false);
    });
    child.on('close', () => {
      resolve(false);
    });
  });
  child.kill('SIGKILL');
  signal.throwIfAborted();
  if (heartbeat) return { accelerator: 'kvm', reason: 'a guest boots with it' };
  const why = complaint.split('\n')[0]?.trim() ?? '';
  const because = why === '' ? `no heartbeat within ${BOOT_TIMEOUT_MS / 1000} s` : why;
  return {
    accelerator: 'tcg',
    reason: `/dev/kvm is there, but no guest boots with it (${because})`,
  };
}
