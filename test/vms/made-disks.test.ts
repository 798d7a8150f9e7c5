import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { run } from '../../lab/core/run-command.ts';
import { novactl } from '../e2e/novactl.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

interface Manifest {
  readonly disk?: string;
  readonly volumes?: readonly object[];
}

function manifest(name: string, { disk, volumes = [] }: Manifest): string {
  const resources = { cpu: 1, memory: '64Mi', ...(disk !== undefined && { disk }) };
  return JSON.stringify({
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'VirtualMachine',
    metadata: { name },
    spec: { running: true, template: { spec: { resources, volumes } } },
  });
}

test('disks that the agent makes, from the first apply to the last word on them', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { lab } = nodes;
  const folder = lab.plan.sharedImages;
  const made = async () => (await readdir(folder)).filter((name) => /-(?:root|data)\./.test(name));
  const ctl = (args: string, signal: AbortSignal, input?: string) =>
    novactl(lab, args.split(' '), signal, input);
  const ok = async (args: string, signal: AbortSignal, input?: string) => {
    const result = await ctl(args, signal, input);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result;
  };

  await context.test(
    'a VM with a root disk and another one runs, and QEMU has both open',
    async ({ signal }) => {
      const wanted = manifest('web', {
        disk: '20Gi',
        volumes: [
          { name: 'root', shared: true },
          { name: 'data', size: '64Mi', format: 'raw', shared: true },
        ],
      });
      await ok('vm apply -f -', signal, wanted);
      assert.equal((await made()).length, 2);
      const { stdout } = await ok('vm describe web', signal);
      assert.match(stdout, /root +disk +vda +virtio +qcow2 +20Gi +\S+ +yes +.*-root\.qcow2/);
      assert.match(stdout, /data +disk +vdb +virtio +raw +64Mi +\S+ +yes +.*-data\.raw/);
      assert.match((await ok('vm apply -f -', signal, wanted)).stdout, /unchanged/);
    },
  );

  await context.test('it moves with them', async ({ signal }) => {
    await ok('migrate web --to b', signal);
    const onB = await ok('--node b vm list', signal);
    assert.match(onB.stdout, /web +Running/);
    await ok('--node b migrate web --to a', signal);
    assert.equal((await made()).length, 2);
  });

  await context.test(
    'a snapshot that somebody takes with virsh is not undone by the agent',
    async ({ signal }) => {
      const { a } = nodes;
      await a.run(
        ['virsh', 'snapshot-create-as', 'default_web', 's1', '--disk-only', '--no-metadata'],
        signal,
      );
      const { stdout } = await ok('vm describe web', signal);
      assert.match(stdout, /root +disk +vda .*-root\.s1/);
      for (const disk of ['vda', 'vdb']) {
        const pivot = ['--active', '--pivot', '--wait'];
        await a.run(['virsh', 'blockcommit', 'default_web', disk, ...pivot], signal);
      }
      await run(['sh', '-c', `rm ${folder}/*.s1`], {}, signal);
    },
  );

  await context.test(
    'deleted without a word on them they stay, and another VM can have one',
    async ({ signal }) => {
      const { stderr } = await ok('vm delete web --force', signal);
      assert.match(
        stderr,
        /Its disks stay: .*-root\.qcow2 and .*-data\.raw; another VM can name them/,
      );
      const [data] = (await made()).filter((name) => name.endsWith('-data.raw'));
      const source = { file: { path: `${folder}/${data}` } };
      const volume = { name: 'old', format: 'raw', source };
      await ok('vm apply -f -', signal, manifest('other', { disk: '1Gi', volumes: [volume] }));
      await ok('vm delete other --force --delete-disks', signal);
      assert.equal((await made()).length, 2);
      await run(['sh', '-c', `rm ${folder}/*-root.* ${folder}/*-data.*`], {}, signal);
    },
  );

  await context.test('a VM that cannot be made leaves none', async ({ signal }) => {
    const hook = { exec: { command: ['/run/hooks/none'] } };
    const wanted = JSON.parse(manifest('never', { disk: '1Gi' })) as {
      spec: { template: { spec: object } };
    };
    wanted.spec.template.spec = { ...wanted.spec.template.spec, lifecycle: { preStart: hook } };
    const refused = await ctl('vm apply -f -', signal, JSON.stringify(wanted));
    assert.equal(refused.code, 4, refused.stdout + refused.stderr);
    assert.deepEqual(await made(), []);
  });
});
