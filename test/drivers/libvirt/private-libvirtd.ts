import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OwnedProcess } from '../../fixtures/owned-process.ts';

const START_TIMEOUT_MS = 60_000;
const FOLDERS = ['run', 'lib', 'etc', 'log', 'cache'];

/** Why no libvirtd can be started here; undefined if one can. */
export function findObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, for a libvirtd in namespaces of its own';
  for (const program of ['/usr/sbin/libvirtd', '/usr/bin/virsh', '/usr/bin/qemu-system-x86_64']) {
    try {
      accessSync(program, constants.X_OK);
    } catch {
      return `needs ${program}`;
    }
  }
  return undefined;
}

/** A libvirtd with nothing but virsh as its client, in mount and process namespaces that end with it. */
export class PrivateLibvirtd implements AsyncDisposable {
  /** For disk images and the like; removed at the end. */
  readonly folder: string;
  #owned = new AsyncDisposableStack();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(): Promise<PrivateLibvirtd> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(path.join(tmpdir(), 'novacron-libvirtd-'));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    for (const name of FOLDERS) await mkdir(path.join(folder, name));
    await writeFile(
      path.join(folder, 'etc/libvirtd.conf'),
      `auth_unix_rw = "none"\nhost_uuid = "${randomUUID()}"\n`,
    );
    await writeFile(
      path.join(folder, 'etc/qemu.conf'),
      'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\ncgroup_controllers = []\nremember_owner = 0\n',
    );
    const namespaces = ['--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const child = spawn('unshare', [...namespaces, 'sh', '-c', SCRIPT, 'sh', folder], {
      stdio: 'ignore',
    });
    undo.use(new OwnedProcess(child));
    const libvirtd = new PrivateLibvirtd(folder);
    await libvirtd.#waitUntilReady();
    libvirtd.#owned = undo.move();
    return libvirtd;
  }

  async virsh(...command: readonly string[]): Promise<string> {
    const uri = `qemu+unix:///system?socket=${this.folder}/run/libvirt-sock`;
    const { stdout } = await promisify(execFile)('virsh', ['-q', '-c', uri, ...command]);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  async #waitUntilReady(): Promise<void> {
    for (const end = performance.now() + START_TIMEOUT_MS; ; await sleep(100)) {
      try {
        await this.virsh('version');
        return;
      } catch (error) {
        if (performance.now() > end) throw error;
      }
    }
  }
}

const SCRIPT = `set -e
mount --make-rprivate /
for pair in run:/run/libvirt lib:/var/lib/libvirt etc:/etc/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
  mkdir -p "\${pair#*:}"
  mount --bind "$1/\${pair%%:*}" "\${pair#*:}"
done
virtlogd -d -p /run/libvirt/virtlogd.pid
libvirtd -d -p /run/libvirt/libvirtd.pid
# The shell reaps QEMUs, which libvirt waits for in vain while they are zombies.
while :; do
  sleep 2147483647 &
  wait $! || :
done`;
