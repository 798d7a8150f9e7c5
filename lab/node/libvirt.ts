import { randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import { waitUntil } from '../core/wait-until.ts';
import type { LabMachine } from './lab-machine.ts';

const START_TIMEOUT_MS = 20_000;

/**
 * What libvirt found out about QEMU takes seconds to find out, and libvirt itself notices when a kept copy no
 * longer fits, so the copy outlives the labs.
 */
const CAPABILITIES_CACHE = inProject('build/lab/libvirt-capabilities');

export interface LibvirtOptions {
  /** Whom QEMU runs as; root unless given. Other users must be able to read what guests boot from. */
  readonly qemuUser?: string | undefined;
}

/** A node's own libvirtd and virtlogd. */
export class Libvirt {
  readonly #machine: LabMachine;

  constructor(machine: LabMachine) {
    this.#machine = machine;
  }

  /** libvirt's socket as seen from outside the node. */
  get socket(): string {
    return this.#machine.outside('run/libvirt/libvirt-sock');
  }

  /** For virsh and libvirt clients outside the node. */
  get uri(): string {
    return `qemu+unix:///system?socket=${this.socket}`;
  }

  /** Starts both daemons and waits until libvirt answers. */
  async start(options: LibvirtOptions, signal: AbortSignal): Promise<void> {
    await this.#configure(options.qemuUser ?? 'root');
    await this.#machine.startDaemon('virtlogd', ['virtlogd'], {}, signal);
    await this.startLibvirtd(signal);
    await this.#machine.run(['virsh', '-c', 'qemu:///system', 'capabilities'], signal);
    await this.#keepCapabilities();
  }

  /** Starts libvirtd alone, say after killing it. */
  async startLibvirtd(signal: AbortSignal): Promise<void> {
    await this.#machine.startDaemon('libvirtd', ['libvirtd'], {}, signal);
    await waitUntil('libvirtd', START_TIMEOUT_MS, () => answers(this.socket), signal);
  }

  /** libvirtd's pid as seen from outside; undefined when it does not run. */
  findPid(): number | undefined {
    return this.#machine.processes().find(({ command }) => command[0] === 'libvirtd')?.pid;
  }

  /** Runs virsh inside the node. */
  async virsh(command: readonly string[], signal: AbortSignal, input?: string): Promise<string> {
    return this.#machine.run(
      ['virsh', '--quiet', '-c', 'qemu:///system', ...command],
      signal,
      input === undefined ? {} : { input },
    );
  }

  get #capabilities(): string {
    return this.#machine.outside('var/cache/libvirt/qemu/capabilities');
  }

  async #keepCapabilities(): Promise<void> {
    for (const name of await readdir(this.#capabilities)) {
      const fresh = path.join(this.#capabilities, name);
      const kept = path.join(CAPABILITIES_CACHE, name);
      if ((await modifiedMs(fresh)) === (await modifiedMs(kept))) continue;
      // Another node or lab may be doing the same.
      const temporary = `${kept}.${randomUUID()}`;
      await cp(fresh, temporary, { preserveTimestamps: true });
      await rename(temporary, kept);
    }
  }

  async #configure(qemuUser: string): Promise<void> {
    const etc = this.#machine.outside('etc/libvirt');
    await mkdir(etc, { recursive: true });
    await mkdir(this.#capabilities, { recursive: true });
    await mkdir(this.#machine.outside('var/log/libvirt/qemu'), { recursive: true });
    await mkdir(CAPABILITIES_CACHE, { recursive: true });
    for (const name of await readdir(CAPABILITIES_CACHE)) {
      if (!name.endsWith('.xml')) continue;
      await cp(path.join(CAPABILITIES_CACHE, name), path.join(this.#capabilities, name), {
        preserveTimestamps: true,
      });
    }
    // libvirt refuses to migrate between hosts of the same UUID, which here would both have the machine's.
    const uuid = await readFile(this.#machine.outside('host-uuid'), 'utf8');
    await writeFile(`${etc}/libvirtd.conf`, `host_uuid = "${uuid}"\nauth_unix_rw = "none"\n`);
    await writeFile(`${etc}/qemu.conf`, qemuConf(qemuUser));
  }
}

// Files stay whose they are: nodes share the guest's kernel, which belongs to the machine.
const qemuConf = (user: string) => `user = "${user}"
group = "${user === 'root' ? 'root' : 'kvm'}"
dynamic_ownership = ${user === 'root' ? 1 : 0}
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
`;

async function modifiedMs(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found === undefined ? undefined : Math.floor(found.mtimeMs);
}

/** True if something accepts connections on the unix socket. */
async function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => {
      resolve(false);
    });
  });
}
