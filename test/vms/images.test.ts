import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { inProject } from '../../lab/core/project.ts';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';
import { agentPid, TwoNodes } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';

const PORT = 8099;
const ADDRESS = `http://127.0.0.1:${PORT}`;
const MIB = 2 ** 20;

interface Manifest {
  readonly source: string;
  readonly disk?: string;
  readonly [field: string]: unknown;
}

function manifest(name: string, { disk, ...image }: Manifest): string {
  const resources = { cpu: 1, memory: '64Mi', ...(disk !== undefined && { disk }) };
  const volumes = [{ name: 'root', shared: true }];
  return JSON.stringify({
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'VirtualMachine',
    metadata: { name },
    spec: { running: true, template: { spec: { resources, image, volumes } } },
  });
}

/** Images of 64 MiB, half of them full of something, in a folder to be served. */
async function publish(folder: string, signal: AbortSignal): Promise<void> {
  const raw = path.join(folder, 'disk.raw');
  await writeFile(raw, randomBytes(32 * MIB));
  await run(['truncate', '--size=64M', raw], {}, signal);
  for (const format of ['qcow2', 'vmdk']) {
    const to = path.join(folder, `disk.${format}`);
    await run(['qemu-img', 'convert', '-O', format, raw, to], {}, signal);
  }
  const named = path.join(folder, 'names-a-file.qcow2');
  const options = ['-F', 'raw', '-b', '/etc/shadow', '-u'];
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...options, named, '1M'], {}, signal);
  await run(['sh', '-c', `gzip -kc ${raw} >${folder}/disk.raw.gz`], {}, signal);
}

test('VMs from images, from an address to the last disk that stands on one', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, lab } = nodes;
  const folder = path.join(lab.plan.storage, 'published');
  await run(['mkdir', '-p', folder], {}, context.signal);
  await publish(folder, context.signal);
  const server = [process.execPath, inProject('test/vms/serve-images.ts'), folder, String(PORT)];
  await a.startDaemon('server', server, {}, context.signal);
  const reaches = async () => (await a.tryRun(['curl', '-s', ADDRESS], context.signal)).code === 0;
  await waitUntil('the server to listen', PATIENCE_MS, reaches, context.signal);
  const gets = (what: string) =>
    a
      .readLog('server')
      .split('\n')
      .filter((line) => line.startsWith(`GET /${what} `)).length;
  const base = path.join(lab.plan.sharedImages, 'base');
  const ctl = (args: string, signal: AbortSignal, input?: string) =>
    novactl(lab, args.split(' '), signal, input);
  const ok = async (args: string, signal: AbortSignal, input?: string) => {
    const result = await ctl(args, signal, input);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result;
  };
  const sizeOf = async (domain: string, signal: AbortSignal) => {
    const info = await a.libvirt.virsh(['domblkinfo', domain, 'vda'], signal);
    return Number(/Capacity:\s+(\d+)/.exec(info)?.[1]);
  };

  await context.test('a VM from an address, in one command', async ({ signal }) => {
    const wanted = manifest('web', { source: `${ADDRESS}/disk.qcow2`, disk: '100Mi' });
    await ok('vm apply -f -', signal, wanted);
    assert.equal(await sizeOf('default_web', signal), 100 * MIB);
    const { stdout } = await ok('image list', signal);
    assert.match(stdout, /^sha256:[0-9a-f]{12} +qcow2 +64Mi +32\.?\d*Mi +1 /m);
    assert.match((await ok('vm apply -f -', signal, wanted)).stdout, /unchanged/);
  });

  await context.test(
    'a second one takes what is here; it moves there and back',
    async ({ signal }) => {
      const before = gets('disk.qcow2');
      await ok('vm apply -f -', signal, manifest('db', { source: `${ADDRESS}/disk.qcow2` }));
      assert.equal(gets('disk.qcow2'), before);
      assert.equal(await sizeOf('default_db', signal), 64 * MIB);
      await ok('migrate db --to b', signal);
      assert.match((await ok('--node b image list', signal)).stdout, /64Mi +32\.?\d*Mi +2 /);
      await ok('--node b migrate db --to a', signal);
    },
  );

  await context.test('the status says what its disk takes, running and off', async ({ signal }) => {
    const sizes = async () => {
      const { stdout } = await ok('vm get db -o json', signal);
      const { status } = JSON.parse(stdout) as { status: { volumes: Record<string, string>[] } };
      return status.volumes[0] ?? {};
    };
    const told = async (what: string) => {
      // What runs is sampled now and then.
      await waitUntil(what, PATIENCE_MS, async () => 'allocated' in (await sizes()), signal);
      const { size, virtualSize, allocated = '' } = await sizes();
      assert.deepEqual([size, virtualSize], ['64Mi', '64Mi']);
      assert.match(allocated, /^\d{2,3}Ki$/);
    };
    await told('it runs');
    await ok('vm destroy db', signal);
    await told('it is off');
    assert.match((await ok('vm describe db', signal)).stdout, /SIZE +TAKES.*\n.* 64Mi +\d+Ki /);
    await ok('vm start db', signal);
  });

  await context.test('what cannot be is refused before anything is made', async ({ signal }) => {
    const refusals: readonly (readonly [Manifest, RegExp, number?])[] = [
      [{ source: `${ADDRESS}/disk.qcow2`, disk: '10Mi' }, /is 10Mi, and the image .* of 64Mi/],
      [{ source: `${ADDRESS}/none.qcow2` }, /404/, 5],
      [{ source: `${ADDRESS}/disk.raw.gz` }, /compressed with gzip/],
      [{ source: `${ADDRESS}/disk.raw` }, /say format: raw/],
      [{ source: `${ADDRESS}/names-a-file.qcow2` }, /stands on another file \(\/etc\/shadow\)/],
      [{ source: 'file:///etc/shadow', format: 'raw' }, /IMAGE_NOT_ALLOWED/],
      [{ source: 'http://169.254.169.254/latest' }, /IMAGE_NOT_ALLOWED/],
      [{ source: 'pvc://vms/web' }, /only a cluster can resolve it/],
    ];
    const kept = await readdir(base);
    const image = kept.find((name) => name.endsWith('.qcow2')) ?? '';
    const asDisk = JSON.parse(manifest('never', { source: '' })) as {
      spec: { template: { spec: object } };
    };
    const file = { path: path.join(base, image) };
    const volumes = [{ name: 'root', format: 'qcow2', source: { file } }];
    asDisk.spec.template.spec = { resources: { cpu: 1, memory: '64Mi' }, volumes };
    const given = await ctl('vm apply -f -', signal, JSON.stringify(asDisk));
    assert.equal(given.code, 4, given.stderr);
    assert.match(given.stderr, /it is an image that disks stand on, and no disk itself/);
    for (const [wanted, why, code = 4] of refusals) {
      const refused = await ctl('vm apply -f -', signal, manifest('never', wanted));
      assert.equal(refused.code, code, refused.stdout + refused.stderr);
      assert.match(refused.stderr, why);
    }
    assert.deepEqual(await readdir(base), kept);
    assert.doesNotMatch((await ok('vm list', signal)).stdout, /never/);
  });

  await context.test(
    'a VMDK is converted; raw is a copy when it is asked for',
    async ({ signal }) => {
      await ok('vm apply -f -', signal, manifest('vmdk', { source: `${ADDRESS}/disk.vmdk` }));
      assert.equal(await sizeOf('default_vmdk', signal), 64 * MIB);
      const raw = manifest('raw', { source: `${ADDRESS}/disk.raw`, format: 'raw', disk: '65Mi' });
      await ok('vm apply -f -', signal, raw);
      assert.equal(await sizeOf('default_raw', signal), 65 * MIB);
      const full = manifest('full', { source: `${ADDRESS}/disk.qcow2`, clone: 'full' });
      await ok('vm apply -f -', signal, full);
      const path = await a.libvirt.virsh(['domblklist', 'default_full'], signal);
      const [disk = ''] = /\/\S+-root\.qcow2/.exec(path) ?? [];
      const info = ['qemu-img', 'info', '-U', '-f', 'qcow2', disk];
      assert.doesNotMatch(await run(info, {}, signal), /backing file/);
      for (const name of ['vmdk', 'raw', 'full'])
        await ok(`vm delete ${name} --force --delete-disks`, signal);
    },
  );

  await context.test('a download goes on after the agent was killed', async ({ signal }) => {
    const id = randomUUID();
    const source = `${ADDRESS}/slow/disk.qcow2`;
    const apply = `vm apply -f - --operation-id ${id}`;
    const applying = ctl(apply, signal, manifest('slow', { source }));
    const stepOf = async () => (await ctl(`operation get ${id} -o json`, signal)).stdout;
    await waitUntil(
      'half of it to have come',
      PATIENCE_MS,
      async () => /"fractionDone": ?0\.[1-9]/.test(await stepOf()),
      signal,
    );
    signalProcess(agentPid(a), 'SIGKILL');
    const isGone = () => a.agent.find() === undefined;
    await waitUntil('the agent to be gone', PATIENCE_MS, isGone, signal);
    await nodes.relaunch(a, signal);
    await writeFile(path.join(folder, 'go-on'), '');
    const applied = await applying;
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(a.readLog('server'), /GET \/slow\/disk\.qcow2 bytes=\d{3,}-/);
    assert.match(await stepOf(), /Succeeded|SUCCEEDED/);
    assert.equal(await sizeOf('default_slow', signal), 64 * MIB);
    // The same content from elsewhere is kept once.
    assert.match((await ok('image list', signal)).stdout, /64Mi .* 3 .*slow\/disk\.qcow2/);
  });

  await context.test(
    'an image goes when no disk stands on it, and not before',
    async ({ signal }) => {
      const images = JSON.parse((await ok('image list -o json', signal)).stdout) as {
        readonly items: readonly { readonly digest: string; readonly usedBy?: readonly string[] }[];
      };
      const used = images.items.find(({ usedBy = [] }) => usedBy.length === 3);
      assert.ok(used !== undefined, JSON.stringify(images));
      await ok(`image verify ${used.digest}`, signal);
      const refused = await ctl(`image remove ${used.digest}`, signal);
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stderr, /-root\.qcow2/);
      for (const name of ['web', 'db', 'slow']) {
        await ok(`vm delete ${name} --force --delete-disks`, signal);
      }
      for (const { digest } of images.items) await ok(`image remove ${digest}`, signal);
      assert.deepEqual(await readdir(base), ['incoming']);
      assert.deepEqual(await readdir(path.join(base, 'incoming')), []);
    },
  );
  await rm(folder, { recursive: true });
});
