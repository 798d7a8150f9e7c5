import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { freeze } from '../../fixtures/process-signals.ts';

const PROGRAMS = ['/usr/sbin/libvirtd', '/usr/bin/qemu-system-x86_64', '/usr/bin/nsenter'];
const PRIVATE_FOLDERS = [
  '/run/libvirt',
  '/var/lib/libvirt',
  '/etc/libvirt',
  '/var/log/libvirt',
  '/var/cache/libvirt',
];

/** Why there can be no private libvirtd here; false if there can. For the `skip` of a test. */
export function skipReason(): string | false {
  if (process.getuid?.() !== 0) return 'Needs root for namespaces';
  for (const program of PROGRAMS) {
    try {
      accessSync(program, constants.X_OK);
    } catch {
      return `Needs ${program}`;
    }
  }
  return false;
}

/**
 * A libvirtd with its QEMUs in namespaces of its own. The first process of the PID namespace reads a pipe from this
 * process: when either ends, the kernel ends everything in the namespace, and the mounts vanish with it.
 */
export class PrivateLibvirt implements AsyncDisposable {
  readonly folder: string;
  readonly consoleDirectory: string;
  readonly #initPid: number;
  #daemonPid = 0;
  #nsenter: OwnedProcess | undefined;
  #owned = new AsyncDisposableStack();

  private constructor(folder: string, initPid: number) {
    this.folder = folder;
    this.consoleDirectory = join(folder, 'consoles');
    this.#initPid = initPid;
  }

  static async start(): Promise<PrivateLibvirt> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp('/tmp/novacron-libvirt-');
    undo.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
    for (const path of [...PRIVATE_FOLDERS, '/consoles']) {
      await mkdir(join(folder, path), { recursive: true });
    }
    await writeFile(
      join(folder, 'etc/libvirt/libvirtd.conf'),
      `host_uuid = "${randomUUID()}"\nauth_unix_rw = "none"\n`,
    );
    await writeFile(
      join(folder, 'etc/libvirt/qemu.conf'),
      [
        'user = "root"',
        'group = "root"',
        'security_driver = "none"',
        'stdio_handler = "file"',
        'namespaces = []',
        'cgroup_controllers = []',
        'remember_owner = 0',
        '',
      ].join('\n'),
    );
    const script = [
      'set -e',
      'ip link set lo up',
      'ip link add br0 up type bridge',
      `hostname ${folder.slice('/tmp/'.length).toLowerCase()}`,
      ...PRIVATE_FOLDERS.map((path) => `mkdir -p ${path}; mount --bind ${folder}${path} ${path}`),
      'echo ready',
      // The shell stays, as it reaps the orphans; libvirt waits for the QEMUs that it ends to be gone.
      'while read -r; do :; done',
    ].join('\n');
    const namespaces = ['-m', '-u', '-n', '-p', '--fork', '--kill-child', '--mount-proc'];
    const unshare = undo.use(
      new OwnedProcess(
        spawn('unshare', [...namespaces, 'bash', '-c', script], {
          stdio: ['pipe', 'pipe', 'inherit'],
        }),
      ),
    );
    assert.equal(await unshare.nextLine(), 'ready', 'Cannot make the namespaces');
    const node = new PrivateLibvirt(folder, firstChild(unshare.pid));
    undo.defer(() => node.#nsenter?.kill());
    await node.startDaemon();
    node.#owned = undo.move();
    return node;
  }

  get socket(): string {
    return join(this.folder, 'run/libvirt/libvirt-sock');
  }

  get uri(): string {
    return `qemu+unix:///system?socket=${this.socket}`;
  }

  get #enter(): readonly string[] {
    return ['-t', String(this.#initPid), '-m', '-u', '-n', '-p'];
  }

  /** Starts libvirtd, also after it was killed, and waits until it answers. */
  async startDaemon(): Promise<void> {
    const daemon = ['libvirtd', '-p', '/run/libvirt/libvirtd.pid'];
    // nsenter stops itself when libvirtd is stopped, and would then never end by itself.
    await this.#nsenter?.kill();
    const enter = spawn('nsenter', [...this.#enter, ...daemon], { stdio: 'ignore' });
    this.#nsenter = new OwnedProcess(enter);
    await waitFor('libvirtd accepts connections', () => accepts(this.socket));
    this.#daemonPid = firstChild(this.#nsenter.pid);
    // The first of these questions makes it find out about QEMU, which takes longer than the driver waits for an answer.
    for (const question of ['capabilities', 'domcapabilities']) {
      const virsh = [...this.#enter, 'virsh', '-c', 'qemu:///system', question];
      await promisify(execFile)('nsenter', virsh);
    }
  }

  /** Stops libvirtd until disposed. */
  freezeDaemon(): Disposable {
    return freeze(this.#daemonPid);
  }

  /** Returns once libvirtd is gone. */
  async killDaemon(): Promise<void> {
    process.kill(this.#daemonPid, 'SIGKILL');
    // See `startDaemon`: one that is stopped would keep the daemon a zombie.
    await this.#nsenter?.kill();
    await waitFor('libvirtd is gone', () => !existsSync(`/proc/${this.#daemonPid}`));
  }

  /** A command inside the node's namespaces; returns what it prints. */
  run(program: string, ...values: readonly string[]): string {
    return execFileSync('nsenter', [...this.#enter, program, ...values], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  virsh(...values: readonly string[]): string {
    return this.run('virsh', '-c', 'qemu:///system', ...values).trim();
  }

  /** Defines a domain as somebody does with virsh. */
  async defineXml(xml: string): Promise<void> {
    const file = join(this.folder, 'domain.xml');
    await writeFile(file, xml);
    this.virsh('define', file);
  }

  /** The process of a running VM, as seen from here. */
  qemuPid(uid: string): number {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const command = readCommandLine(pid);
      if (!command.includes('qemu-system') || !command.includes(uid)) continue;
      // While a VM migrates, another node's QEMU has the same arguments.
      if (pidNamespace(pid) === pidNamespace(String(this.#initPid))) return Number(pid);
    }
    throw new Error(`No QEMU runs VM ${uid}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`Waited ${timeoutMs} ms in vain: ${what}`);
    await sleep(20);
  }
}

function firstChild(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);
}

function pidNamespace(pid: string): string {
  return readlinkSync(`/proc/${pid}/ns/pid`);
}

function readCommandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const client = connect(socket);
    client.on('connect', () => {
      client.destroy();
      resolve(true);
    });
    client.on('error', () => resolve(false));
  });
}
