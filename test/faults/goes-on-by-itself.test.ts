import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';

const FOLDER = '/run/small';

test('a VM whose disk was full goes on by itself where its spec says so, whoever was killed meanwhile', async ({
  signal,
}) => {
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  await node.run(['mkdir', '-p', FOLDER], signal);
  await node.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'small', FOLDER], signal);
  for (const name of ['web', 'quiet']) {
    await node.run(['truncate', '--size=2M', `${FOLDER}/${name}.raw`], signal);
  }
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  using client = await connectAgent(node);
  const { kernelPath: path, initrdPath: initrd, commandLine } = guest;
  const words = `${commandLine} demo.region=16M demo.fill=8M demo.disk=2M`;
  const apply = async (name: string, machine: object, volume: object) => {
    const source = { file: { path: `${FOLDER}/${name}.raw` } };
    // tmpfs may not know O_DIRECT.
    const root = { name: 'root', format: 'raw', cache: 'writeback', source, ...volume };
    const spec = {
      resources: { cpu: 1, memory: '192Mi' },
      kernel: { path, initrd, commandLine: words },
      volumes: [root],
      ...machine,
    };
    const manifest = {
      apiVersion: 'novacron.io/v1alpha1',
      kind: 'VirtualMachine',
      metadata: { name },
      spec: { runStrategy: 'Once', template: { spec } },
    };
    const args = ['vm', 'apply', '-f', '-'];
    const { code, stderr } = await novactl(lab, args, signal, JSON.stringify(manifest));
    assert.equal(code, 0, stderr);
  };
  const get = (name: string) => client.vms.get({ name }, { signal });
  const untilReason = (name: string, reason: string) =>
    waitUntil(
      `VM ${name} saying ${reason}`,
      PATIENCE_MS,
      async () => (await get(name)).status?.reason === reason,
      signal,
    );

  await apply('web', { ioErrorResume: 'auto' }, {});
  await untilReason('web', 'NoSpace');
  assert.match((await get('web')).status?.message ?? '', /by itself once there is room/);
  await node.agent.kill(signal);
  await node.agent.restart(signal);
  await untilReason('web', 'NoSpace');

  // The guest of this one hears of it, and its VM runs on.
  await apply('quiet', {}, { errorPolicy: 'report' });
  const quietUid = (await get('quiet')).metadata?.uid ?? '';
  const xml = await node.libvirt.virsh(['dumpxml', quietUid], signal);
  assert.match(xml, /error_policy='report'/);
  using quiet = watchConsole(node, await findConsoleLog(node, quietUid, signal));
  const hears = () => quiet.alarms.length > 0;
  await quiet.waitFor('The guest sees the error', PATIENCE_MS, hears, signal);
  assert.equal((await get('quiet')).status?.reason, 'Booted');

  const uid = (await get('web')).metadata?.uid ?? '';
  using console = watchConsole(node, await findConsoleLog(node, uid, signal));
  await node.run(['mount', '-o', 'remount,size=64m', FOLDER], signal);
  const told = async () => {
    const { events } = await client.events.list({ virtualMachine: { name: 'web' } }, { signal });
    return events.find(({ reason }) => reason === 'Resumed');
  };
  await waitUntil(
    'The event of its going on',
    2 * PATIENCE_MS,
    async () => (await told()) !== undefined,
    signal,
  );
  const { cause, requestedBy, message } = (await told()) ?? {};
  assert.deepEqual([cause, requestedBy], ['NoSpace', 'agent/io-error-resume']);
  assert.match(message ?? '', /ioErrorResume is auto/);
  const checks = console.diskPasses.length;
  const goesOn = () => console.diskPasses.length >= checks + 2;
  await console.waitFor('Checks of the disk', PATIENCE_MS, goesOn, signal);
  assert.deepEqual([console.diskBad, console.bad, console.alarms], [0, 0, []]);
});
