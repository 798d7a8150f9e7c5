import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';

const FOLDER = '/run/small';

test('a VM whose disk is full says so, leads on by our own verbs, and has lost nothing', async ({
  signal,
}) => {
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  await node.run(['mkdir', '-p', FOLDER], signal);
  await node.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'small', FOLDER], signal);
  await node.run(['truncate', '--size=2M', `${FOLDER}/web.raw`], signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  using client = await connectAgent(node);
  const { kernelPath: path, initrdPath: initrd, commandLine } = guest;
  const machine = {
    resources: { cpu: 1, memory: '256Mi' },
    kernel: {
      path,
      initrd,
      commandLine: `${commandLine} demo.region=32M demo.fill=16M demo.disk=2M`,
    },
    volumes: [
      {
        name: 'root',
        format: 'raw',
        // tmpfs may not know O_DIRECT.
        cache: 'writeback',
        source: { file: { path: `${FOLDER}/web.raw` } },
      },
      { name: 'setup', kind: 'cdrom' },
    ],
  };
  const manifest = {
    metadata: { name: 'web' },
    spec: { runStrategy: 'Manual', template: { spec: machine } },
  };
  const made = toVirtualMachineMessage(parseVirtualMachine(manifest));
  await client.vms.create(made, { signal });
  const statusOf = async () => (await client.vms.get({ name: 'web' }, { signal })).status;
  const untilReason = (reason: string) =>
    waitUntil(
      `The VM saying ${reason}`,
      PATIENCE_MS,
      async () => (await statusOf())?.reason === reason,
      signal,
    );
  const run = (...args: string[]) => novactl(lab, args, signal);
  const succeed = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, EXIT_CODES.ok, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const refuse = async (words: RegExp, ...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, EXIT_CODES.refused, `${args.join(' ')}: ${stdout}${stderr}`);
    assert.match(stdout + stderr, words);
  };

  await succeed('vm', 'start', 'web');
  await untilReason('NoSpace');
  const uid = (await client.vms.get({ name: 'web' }, { signal })).metadata?.uid ?? '';
  using console = watchConsole(node, await findConsoleLog(node, uid, signal));

  await refuse(/paused \(NoSpace\).*novactl vm resume web/, 'vm', 'start', 'web');
  await refuse(/paused \(NoSpace\).*novactl vm resume web/, 'vm', 'shutdown', 'web');
  await refuse(/stopped again at once \(NoSpace\).*make room/, 'vm', 'resume', 'web');
  await refuse(/novactl vm resume web/, 'migrate', 'web', '--to', 'b', '--plan');
  const pausedOf = async () => {
    const conditions = (await statusOf())?.conditions ?? [];
    return conditions.find(({ type }) => type === 'Paused');
  };
  const told = async (reason: string) => {
    const { events } = await client.events.list({ virtualMachine: { name: 'web' } }, { signal });
    return events.filter((event) => event.reason === reason);
  };
  const paused = await pausedOf();
  assert.equal(paused?.reason, 'NoSpace');
  await node.agent.kill(signal);
  await node.agent.launch({ source: false }, signal);
  await node.agent.waitReady(signal);
  assert.equal((await statusOf())?.reason, 'NoSpace');
  // Also since when, and the one before has told.
  assert.deepEqual(await pausedOf(), paused);
  const [pause, ...others] = await told('PausedUnexpectedly');
  assert.equal(pause?.cause, 'NoSpace');
  assert.deepEqual(others, []);
  await refuse(/novactl vm resume web/, 'vm', 'start', 'web');

  await node.run(['mount', '-o', 'remount,size=64m', FOLDER], signal);
  assert.equal(await succeed('vm', 'resume', 'web'), 'VM default/web resumed (Running)\n');
  await waitUntil(
    'The event of its going on',
    PATIENCE_MS,
    async () => (await told('Resumed')).some(({ requestedBy }) => requestedBy === 'unix:root'),
    signal,
  );
  const checks = console.diskPasses.length;
  const goesOn = () => console.diskPasses.length >= checks + 2;
  await console.waitFor('Checks of the disk', PATIENCE_MS, goesOn, signal);
  assert.deepEqual([console.diskBad, console.bad, console.alarms], [0, 0, []]);

  const iso = '/run/setup.iso';
  await node.run(['truncate', '--size=1M', iso], signal);
  const inserted = await succeed('vm', 'insert', 'web', 'setup', iso);
  assert.equal(inserted, `VM default/web has ${iso} in setup (Running)\n`);
  // As a guest does that ejects its CD, which libvirt tells, and leaves as the source of the drive.
  const openTray = async () => {
    const alias = /alias name='(ua-disk-setup)'/.exec(
      await node.libvirt.virsh(['dumpxml', uid], signal),
    );
    assert.ok(alias !== null);
    const command = { execute: 'blockdev-open-tray', arguments: { id: alias[1] } };
    const json = JSON.stringify(command);
    await node.libvirt.virsh(['qemu-monitor-command', uid, json], signal);
  };
  const untilTold = (reason: string, cause: string) =>
    waitUntil(
      `The event ${reason} ${cause}`,
      PATIENCE_MS,
      async () => (await told(reason)).some((event) => event.cause === cause),
      signal,
    );
  await untilTold('MediumInserted', 'Request');
  await openTray();
  await untilTold('MediumEjected', 'Guest');
  assert.match(await succeed('vm', 'describe', 'web'), /setup .*\(ejected by the guest\)/);
  assert.equal(await succeed('vm', 'insert', 'web', 'setup', iso), inserted);
  await refuse(/that is a disk.*its drives are: setup/, 'vm', 'eject', 'web', 'root');
  const ejected = await succeed('vm', 'eject', 'web', 'setup');
  assert.equal(ejected, 'VM default/web has nothing in setup any more (Running)\n');
  assert.deepEqual((await statusOf())?.pendingChanges, []);
  await refuse(/IMAGE_NOT_FOUND/, 'vm', 'insert', 'web', 'setup', '/run/none.iso');

  // The same guest, which hears its button: its run goes on.
  assert.equal(await succeed('vm', 'reboot', 'web'), 'VM default/web rebooted (Running)\n');
  const reset = await succeed('vm', 'reset', 'web');
  assert.equal(reset, 'VM default/web reset (Running)\n');

  await succeed('vm', 'suspend', 'web');
  await node.agent.kill(signal);
  await node.agent.launch({ source: false }, signal);
  await node.agent.waitReady(signal);
  await untilReason('Suspended');
  await succeed('vm', 'resume', 'web');

  // Killed while it waits for the guest, and there again only when that is off.
  using booted = watchConsole(node, await findConsoleLog(node, uid, signal));
  await booted.waitFor('A check', PATIENCE_MS, () => booted.passes.length > 0, signal);
  const id = (await succeed('vm', 'restart', 'web', '--no-wait')).trim();
  await booted.waitFor('Power off', PATIENCE_MS, () => booted.powerOff !== undefined, signal);
  await node.agent.kill(signal);
  await node.agent.launch({ source: false }, signal);
  await node.agent.waitReady(signal);
  await succeed('operation', 'watch', id);
  assert.equal((await statusOf())?.reason, 'Booted');
  assert.match(await succeed('operation', 'get', id, '-o', 'json'), /"RESTARTED"/);
});
