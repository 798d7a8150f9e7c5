import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { untilAborted } from '../../core/until-aborted.ts';
import type { BootFinding } from '../boot-probe.ts';
import type { Accelerator } from '../hypervisor-host.ts';
import { BOOT_PAYLOAD } from './boot-payload.ts';

export interface GuestToBoot {
  readonly qemu: string;
  readonly accelerator: Accelerator;
  readonly timeoutMs: number;
  readonly payload?: Buffer;
}

const STAGE = /^boot-probe: (.+)\r?\n/gm;
const BOOTED = 'booted';
/** The line of a fault names its vector: Intel SDM volume 3, table 6-1. */
const FAULT = /^fault ([0-9a-f]{2})$/;
/** An instruction that KVM would have to emulate and cannot, for one. */
const BROKEN = /^KVM internal error.*\n/m;
/** What is said by QEMU may be long. */
const MAX_OUTPUT = 16_384;
const END_TIMEOUT_MS = 2_000;

/** Boots the payload, which says on its serial port how far it has come. Leaves nothing behind. */
export async function bootPayload(guest: GuestToBoot, signal: AbortSignal): Promise<BootFinding> {
  signal.throwIfAborted();
  await using folder = await mkdtempDisposable(path.join(tmpdir(), 'novacron-boot-'));
  const kernel = path.join(folder.path, 'payload');
  await writeFile(kernel, guest.payload ?? Buffer.from(BOOT_PAYLOAD, 'base64'));
  return await boot(guest, kernel, signal);
}

async function boot(
  { qemu, accelerator, timeoutMs }: GuestToBoot,
  kernel: string,
  signal: AbortSignal,
): Promise<BootFinding> {
  const seconds = timeoutMs / 1_000;
  const machine = ['-machine', 'q35', '-accel', accelerator, '-m', '32M'];
  const cpu = ['-cpu', accelerator === 'kvm' ? 'host' : 'max'];
  const bare = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'];
  const guest = ['-serial', 'stdio', '-kernel', kernel];
  // Should the agent be killed meanwhile, coreutils' timeout ends the guest.
  const limit = ['--signal=KILL', String(seconds + END_TIMEOUT_MS / 1_000)];
  const child = spawn('timeout', [...limit, qemu, ...machine, ...cpu, ...bare, ...guest], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let [said, complaint] = ['', ''];
  const ended = new Promise<string>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString('latin1')}`.slice(-MAX_OUTPUT);
      const last = stagesOf(said).at(-1) ?? '';
      if (last === BOOTED || FAULT.test(last)) resolve('');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      complaint = `${complaint}${chunk.toString()}`.slice(0, MAX_OUTPUT);
      // QEMU stops the guest then, and stays.
      if (BROKEN.test(complaint)) resolve(firstLine(complaint));
    });
    child.once('error', (error) => resolve(`it cannot be tried: ${error.message}`));
    child.once('close', (code) => resolve(firstLine(complaint) || `QEMU has ended with ${code}`));
  });
  const late = new Promise<string>((resolve) => {
    setTimeout(() => resolve(`within ${seconds} s`), timeoutMs).unref();
  });
  try {
    const how = await untilAborted(Promise.race([ended, late]), signal);
    return judge(stagesOf(said), how);
  } finally {
    await end(child);
  }
}

/** With what runs under it. A process that the kernel holds is not waited for. */
async function end(child: ReturnType<typeof spawn>): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close', { signal: AbortSignal.timeout(END_TIMEOUT_MS) });
  process.kill(-child.pid, 'SIGKILL');
  await closed.catch(() => undefined);
  child.unref();
}

function stagesOf(said: string): string[] {
  return Array.from(said.matchAll(STAGE), ([, stage = '']) => stage);
}

/** `how` it ended; empty if by its own word. */
function judge(stages: readonly string[], how: string): BootFinding {
  const last = stages.at(-1);
  if (last === BOOTED) return { boots: true, why: '' };
  const fault = FAULT.exec(last ?? '')?.[1];
  const reached = stages.findLast((stage) => !FAULT.test(stage));
  const far = reached === undefined ? 'said nothing' : `came as far as "${reached}"`;
  const why = fault === undefined ? how : `then took fault 0x${fault}`;
  return {
    boots: false,
    why: `a guest of ours ${far}${why.startsWith('within') ? ' ' : ': '}${why}`,
  };
}

function firstLine(text: string): string {
  return (
    text
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim() ?? ''
  );
}
