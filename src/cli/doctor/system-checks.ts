import { defaultListen, findAddressProblems } from '../../core/node-addresses.ts';
import { formatBytes } from '../output/quantities.ts';
import type { AgentSettings, ReadSettings } from './agent-settings.ts';
import { type Finding, failure, ok, warning } from './check.ts';
import { errorCode, type Host } from './host.ts';

export function checkConfiguration({ problem, settings }: ReadSettings, file: string): Finding {
  const fix = `Correct ${file}, then: systemctl restart novacron-agent (--agent-config names another file)`;
  if (problem !== undefined) return failure(`${file}: ${problem}`, fix);
  return ok(`${file} of node ${settings.nodeName}`);
}

/** By the agent's own rules. */
export function checkAddresses(settings: AgentSettings, file: string): Finding {
  const { listen, advertise } = settings;
  const found = findAddressProblems(settings);
  const text = found.map(({ path, problem }) => `${path.join('.')}: ${problem}`).join('; ');
  const fix = `Correct it in ${file}, then: systemctl restart novacron-agent`;
  if (found.some(({ refused }) => refused)) return failure(text, fix);
  if (found.length > 0) return warning(text, `Should it be a mistake: ${fix}`);
  if (advertise === undefined)
    return ok(`The node is alone: its API is at ${settings.socket} only`);
  return ok(`Listens at ${listen ?? defaultListen(advertise)}, others reach it at ${advertise}`);
}

export async function checkClock(host: Host, signal: AbortSignal): Promise<Finding> {
  const words = ['show', '--property=NTPSynchronized', '--value'];
  const answer = await host.run('timedatectl', words, signal);
  if (answer?.stdout.trim() === 'yes') return ok('Synchronised, says timedatectl');
  if ((await host.findInfo('/run/systemd/timesync/synchronized')) !== undefined) {
    return ok('Synchronised by systemd-timesyncd');
  }
  const chrony = await host.run('chronyc', ['-n', 'tracking'], signal);
  if (/^Leap status\s*: Normal/m.test(chrony?.stdout ?? '')) return ok('Synchronised by chrony');
  return warning(
    'Nothing says that the clock is synchronised; certificates and logs need it',
    'Run an NTP client: timedatectl set-ntp true, or install chrony',
  );
}

const MIB = 1024 ** 2;
const MIN_INODES = 1_000;

/** One directory and how much of it must be free. */
export interface SpaceNeed {
  readonly path: string;
  readonly failBelowBytes: number;
  readonly warnBelowBytes: number;
  /** What is there must not be removed to make room. */
  readonly keep: boolean;
}

export function spaceNeeds({
  stateDirectory,
  runDirectory,
  hypervisor,
}: AgentSettings): readonly SpaceNeed[] {
  return [
    { path: stateDirectory, failBelowBytes: 64 * MIB, warnBelowBytes: 1024 * MIB, keep: true },
    // A tmpfs that holds sockets and small files only.
    { path: runDirectory, failBelowBytes: MIB, warnBelowBytes: 16 * MIB, keep: true },
    {
      path: hypervisor.consoleDirectory,
      failBelowBytes: 64 * MIB,
      warnBelowBytes: 1024 * MIB,
      keep: false,
    },
  ];
}

export async function checkSpace(host: Host, needs: readonly SpaceNeed[]): Promise<Finding> {
  const found: string[] = [];
  const low: string[] = [];
  for (const { path, failBelowBytes, warnBelowBytes, keep } of needs) {
    try {
      const { freeBytes, freeInodes } = await host.space(path);
      const free = `${path} has ${formatBytes(BigInt(freeBytes))} free`;
      if (freeBytes < failBelowBytes || freeInodes < MIN_INODES) {
        const files = freeInodes < MIN_INODES ? ` and room for ${freeInodes} files` : '';
        return failure(`${free}${files}`, makeRoom(path, keep));
      }
      (freeBytes < warnBelowBytes ? low : found).push(free);
    } catch (error) {
      const fix = `mkdir -p ${path}; the agent makes its own directories when it starts`;
      return failure(`${path} cannot be looked at (${errorCode(error)})`, fix);
    }
  }
  if (low.length > 0) return warning(low.join('; '), 'Free space there before it runs out');
  return ok(found.join('; '));
}

function makeRoom(path: string, keep: boolean): string {
  const where = `Make room on its file system, which "df -h ${path}" names`;
  if (!keep) return `${where}: logs of VMs that are gone can be removed`;
  return `${where}, but leave alone what the agent has in ${path}: without it, it knows nothing of its VMs and migrations`;
}

interface LimitNeed {
  readonly setting: string;
  readonly least: number;
}

const KERNEL_LIMITS: readonly LimitNeed[] = [
  { setting: 'fs.file-max', least: 100_000 },
  { setting: 'fs.inotify.max_user_instances', least: 128 },
  { setting: 'fs.inotify.max_user_watches', least: 8_192 },
  // A VM takes some ten threads, and ids are shared with everything else.
  { setting: 'kernel.threads-max', least: 16_384 },
  { setting: 'kernel.pid_max', least: 32_768 },
];

export async function checkKernelLimits(host: Host): Promise<Finding> {
  const low: string[] = [];
  for (const { setting, least } of KERNEL_LIMITS) {
    const text = await host.findText(`/proc/sys/${setting.replaceAll('.', '/')}`);
    if (text !== undefined && Number(text) < least) {
      low.push(`${setting} is ${text.trim()}, should be at least ${least}`);
    }
  }
  if (low.length === 0) return ok(`${KERNEL_LIMITS.length} settings are high enough`);
  return warning(
    low.join('; '),
    'Raise them in /etc/sysctl.d/90-novacron.conf, then: sysctl --system',
  );
}

const LEAST_OPEN_FILES = 4_096;
/** libvirt locks guests' memory only for passed-through devices, but then all of it. */
const LEAST_LOCKED_BYTES = 64 * MIB;

/** `limits` is the text of /proc/PID/limits. */
export function judgeProcessLimits(limits: string, whose: string): Finding {
  const openFiles = hardLimit(limits, 'Max open files');
  const locked = hardLimit(limits, 'Max locked memory');
  const low: string[] = [];
  if (openFiles < LEAST_OPEN_FILES) low.push(`open files ${openFiles}`);
  if (locked < LEAST_LOCKED_BYTES) low.push(`locked memory ${locked} bytes`);
  if (low.length === 0) return ok(`Limits of ${whose} are high enough`);
  return warning(
    `Limits of ${whose} are low: ${low.join(', ')}`,
    'Set LimitNOFILE=65536 and LimitMEMLOCK=infinity in the service that starts libvirt and the agent',
  );
}

function hardLimit(limits: string, name: string): number {
  const value = new RegExp(`^${name}\\s+\\S+\\s+(\\S+)`, 'm').exec(limits)?.[1];
  return value === undefined || value === 'unlimited' ? Infinity : Number(value);
}

export async function checkProcessLimits(host: Host): Promise<Finding> {
  // libvirt opens the guests' files; its limits are QEMU's.
  for (const name of ['virtqemud', 'libvirtd']) {
    const pid = (await host.findText(`/run/${name}.pid`))?.trim();
    const limits = pid && (await host.findText(`/proc/${pid}/limits`));
    if (limits) return judgeProcessLimits(limits, name);
  }
  return judgeProcessLimits((await host.findText('/proc/self/limits')) ?? '', 'this shell');
}

export async function checkStreamer(
  host: Host,
  { migration }: AgentSettings,
  signal: AbortSignal,
): Promise<Finding> {
  const { streamer } = migration;
  const fix =
    'Install the package novacron-agent again (apt-get install --reinstall), which has it, or correct migration.streamer; ./dev build makes it from source, in build/streamer';
  if ((await host.findInfo(streamer)) === undefined) {
    return failure(`${streamer} does not exist, so no VM can migrate`, fix);
  }
  if (!(await host.isExecutable(streamer))) {
    return failure(`${streamer} is not executable`, `chmod 755 ${streamer}`);
  }
  const result = await host.run(streamer, ['--version'], signal);
  if (result?.code !== 0)
    return failure(`${streamer} --version fails`, `${fix}; see: ldd ${streamer}`);
  return ok(result.stdout.trim().split('\n')[0] ?? streamer);
}
