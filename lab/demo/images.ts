import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { formatDuration } from '../../src/cli/output/durations.ts';
import { inProject, LabError } from '../core/project.ts';
import { run } from '../core/run-command.ts';
import { step } from '../core/steps.ts';
import { waitUntil } from '../core/wait-until.ts';
import {
  type DistributionGuest,
  ensureDistributionGuest,
} from '../guest/distribution/distribution-guest.ts';
import { Lab } from '../lab.ts';
import type { LabNode } from '../node/lab-node.ts';
import { contextsFile } from '../node/novactl-contexts.ts';

const PORT = 8099;
const BOOT_TIMEOUT_MS = 480_000;
const GUEST_TIMEOUT_MS = 120_000;
const GREETING = 'made by cloud-init';

/** With what a Debian needs to bring CPUs and memory online by itself that it is given while it runs. */
const USER_DATA = `#cloud-config
write_files:
  - {path: /etc/greeting, content: ${GREETING}}
  - path: /etc/udev/rules.d/80-hotplug.rules
    content: |
      SUBSYSTEM=="cpu", ACTION=="add", TEST=="online", ATTR{online}=="0", ATTR{online}="1"
      SUBSYSTEM=="memory", ACTION=="add", TEST=="state", ATTR{state}=="offline", ATTR{state}="online_movable"
`;

/**
 * A Debian from an address, by its digest, that becomes what its user data say; then a disk, CPUs, memory and a larger root while it
 * runs; then a second VM of the same image, which nobody fetches again. All by novactl, as a user types it. 0 if the guest has seen all.
 */
export async function runImagesDemo(
  accelerator: 'kvm' | 'tcg',
  signal: AbortSignal,
): Promise<number> {
  const guest = await step(
    'Having a Debian with cloud-init (made once, from the packages of the distribution)',
    () => ensureDistributionGuest(signal),
  );
  await using lab = await step('Making a node with a libvirt of its own', () =>
    Lab.create({ nodes: ['a'] }, signal),
  );
  await step('Starting an agent', () => lab.startAgents({ accelerator }, signal));
  const node = lab.node('a');
  const image = await step(
    'Publishing it as a qcow2 image by HTTP',
    () => publish(lab, node, guest, signal),
    ({ digest }) => digest.slice(0, 19),
  );
  const user = new User(lab, node, signal);
  await boot(user, lab, guest, image, signal);
  await grow(user, signal);
  await second(user, lab, guest, image);
  console.log('\nAll of it was seen from inside of the guest. Nothing is left running.');
  return 0;
}

interface PublishedImage {
  readonly source: string;
  readonly digest: string;
}

async function publish(
  lab: Lab,
  node: LabNode,
  guest: DistributionGuest,
  signal: AbortSignal,
): Promise<PublishedImage> {
  const folder = path.join(lab.plan.storage, 'published');
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, 'debian.qcow2');
  const convert = ['convert', '-q', '-f', 'raw', '-O', 'qcow2', guest.imagePath, file];
  await run(['qemu-img', ...convert], {}, signal);
  for (const from of [guest.kernelPath, guest.initrdPath]) {
    await copyFile(from, path.join(lab.plan.sharedImages, path.basename(from)));
  }
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash, { signal });
  const server = [process.execPath, inProject('lab/demo/serve-folder.ts'), folder, String(PORT)];
  await node.startDaemon('published', server, {}, signal);
  const source = `http://127.0.0.1:${PORT}/debian.qcow2`;
  const reaches = async () => (await node.tryRun(['curl', '-sfI', source], signal)).code === 0;
  await waitUntil('the image is served', GUEST_TIMEOUT_MS, reaches, signal);
  return { source, digest: `sha256:${hash.digest('hex')}` };
}

/** Types novactl commands, and shows them. */
class User {
  readonly #lab: Lab;
  readonly #node: LabNode;
  readonly #signal: AbortSignal;

  constructor(lab: Lab, node: LabNode, signal: AbortSignal) {
    this.#lab = lab;
    this.#node = node;
    this.#signal = signal;
  }

  /** Fails as the command does. */
  async types(words: readonly string[], input = ''): Promise<string> {
    console.log(`\n$ novactl ${words.join(' ')}`);
    const start = performance.now();
    const text = await this.asks(words, input);
    process.stdout.write(text.replace(/^(?=.)/gm, '  '));
    console.log(`  [${formatDuration(performance.now() - start)}]`);
    return text;
  }

  async asks(words: readonly string[], input = ''): Promise<string> {
    const env = { NOVACTL_CONFIG: contextsFile(this.#lab.plan) };
    const command = [process.execPath, inProject('dist/cli/main.js'), ...words];
    const { code, stdout, stderr } = await this.#node.tryRun(command, this.#signal, { env, input });
    if (code !== 0) throw new LabError(`novactl ${words.join(' ')} failed: ${stderr}`);
    return stdout + stderr;
  }

  /** What a program in the guest of `web` says. */
  async inGuest(script: string): Promise<string> {
    const words = ['vm', 'guest', 'exec', 'web', '--', 'sh', '-c', script];
    return (await this.asks(words)).trim();
  }

  /** Shows what the guest says once it is what is expected. */
  async sees(what: string, script: string, expected: RegExp): Promise<void> {
    let last = '';
    const said = await waitUntil(
      what,
      GUEST_TIMEOUT_MS,
      async () => {
        last = await this.inGuest(script).catch((error: unknown) => String(error));
        return expected.test(last) ? last : undefined;
      },
      this.#signal,
    ).catch((error: unknown) => {
      throw new LabError(`${String(error)}; the guest says: ${last}`);
    });
    console.log(`  in the guest: ${what}: ${said.replaceAll('\n', ', ')}`);
  }
}

function manifestOf(
  name: string,
  lab: Lab,
  guest: DistributionGuest,
  image: PublishedImage,
): string {
  const folder = lab.plan.sharedImages;
  return JSON.stringify({
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'VirtualMachine',
    metadata: { name },
    spec: {
      running: true,
      template: {
        spec: {
          resources: { cpu: 1, memory: '640Mi' },
          cpu: { max: 2 },
          memory: { max: '1Gi' },
          image,
          kernel: {
            path: `${folder}/vmlinuz`,
            initrd: `${folder}/initrd`,
            commandLine: guest.commandLine,
          },
          userData: USER_DATA,
          cloudInit: {},
        },
      },
    },
  });
}

async function boot(
  user: User,
  lab: Lab,
  guest: DistributionGuest,
  image: PublishedImage,
  signal: AbortSignal,
): Promise<void> {
  await user.types(['vm', 'apply', '-f', '-'], manifestOf('web', lab, guest, image));
  await step('Waiting until its guest has booted', () =>
    waitUntil(
      'the guest agent answers',
      BOOT_TIMEOUT_MS,
      () =>
        user.inGuest('true').then(
          () => true,
          () => false,
        ),
      signal,
    ),
  );
  await user.sees('what cloud-init has written', 'cat /etc/greeting', new RegExp(GREETING));
  await user.sees('its name', 'hostname', /^web$/);
  await user.types(['image', 'list']);
}

async function grow(user: User, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await user.types(['vm', 'attach-disk', 'web', 'data', '--size', '1Gi']);
  const bySerial =
    'readlink -f /dev/disk/by-id/virtio-data && blockdev --getsize64 /dev/disk/by-id/virtio-data';
  await user.sees('the disk, by its name', bySerial, /^\/dev\/vd\w\n1073741824$/);
  const more = ['--cpus', '2', '--memory', '896Mi', '--disk', 'root=9Gi'];
  await user.types(['vm', 'resize', 'web', ...more]);
  await user.sees('CPUs online', 'nproc', /^2$/);
  await user.sees(
    'MiB of memory',
    "awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo",
    /^[78]\d\d$/,
  );
  const larger =
    'd=$(findmnt -no SOURCE /); blockdev --getsize64 $d; resize2fs $d >/dev/null 2>&1; df -BG --output=size / | tail -1';
  await user.sees('the root disk, and its file system grown', larger, /^9663676416\n *9G$/);
  await user.types(['vm', 'detach-disk', 'web', 'data']);
  await user.sees('disks', 'ls /dev/disk/by-id | grep -c virtio-data || true', /^0$/);
}

async function second(
  user: User,
  lab: Lab,
  guest: DistributionGuest,
  image: PublishedImage,
): Promise<void> {
  console.log('\nA second VM of the same image, which is here already:');
  await user.types(['vm', 'apply', '-f', '-'], manifestOf('web2', lab, guest, image));
  await user.types(['vm', 'list']);
  await user.types(['image', 'list']);
  await user.types(['vm', 'describe', 'web']);
}
