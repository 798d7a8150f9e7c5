import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Lab } from '../../lab/lab.ts';
import { GuestVm } from '../e2e/guest-vm.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { bootableCd, bootableDisk } from '../fixtures/bootable-media.ts';

/* What guests change of their VMs by themselves, as docs/guest-changes.md has it, and how one is installed from a CD. */

interface Document {
  readonly metadata: { readonly generation: number };
  readonly spec: {
    readonly template: { readonly spec: { readonly volumes?: readonly unknown[] } };
  };
  readonly status: {
    readonly phase: string;
    readonly reason: string;
    readonly pendingFields?: readonly string[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly volumes?: readonly {
      readonly name: string;
      readonly path?: string;
      readonly ejected?: boolean;
    }[];
  };
}

test('what a guest does itself is no drift, and what it ejects stays out', async (context) => {
  const { signal } = context;
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const node = lab.node('a');
  const iso = path.join(lab.plan.sharedImages, 'setup.iso');
  await writeFile(iso, bootableCd('installer'));
  const setup = { name: 'setup', kind: 'cdrom', bus: 'scsi', source: { file: { path: iso } } };
  const vm = await GuestVm.boot(
    lab,
    {
      name: 'web',
      machine: {
        resources: { cpu: 2, memory: '192Mi' },
        volumes: [{ ...setup, format: 'raw' }],
        networks: [{ name: 'lan', type: 'bridge', bridge: 'br0' }],
      },
    },
    signal,
  );
  const documentOf = async (name: string) =>
    JSON.parse(await vm.ok(['vm', 'get', name, '-o', 'json'])) as Document;
  const driveOf = async (name = 'web') =>
    (await documentOf(name)).status.volumes?.find((volume) => volume.name === 'setup');
  const isEjected = async () => (await driveOf())?.ejected === true;
  const untilEjected = () => waitUntil('it is taken out', PATIENCE_MS, isEjected, signal);
  const deed = async (word: string) => {
    const { code, stderr } = await vm.exec('/init', word);
    assert.equal(code, 0, stderr);
  };
  const reasons = async (name: string) => {
    const text = await vm.ok(['events', name, '-o', 'json']);
    const events = JSON.parse(text).items as { reason: string; cause?: string }[];
    return events.map(({ reason, cause = '' }) => `${reason} ${cause}`.trim());
  };
  const rebooted = async (before: number) =>
    (await reasons('web')).filter((reason) => reason.startsWith('Rebooted')).length > before;
  const wanted = await documentOf('web');

  /** Two looks of the agent at everything, each of which would put back what is to be as the manifest says. */
  const expectAsWanted = async () => {
    for (let round = 0; round < 2; round += 1) {
      await vm.ok(['vm', 'list']);
      const { metadata, spec, status } = await documentOf('web');
      assert.deepEqual([metadata.generation, spec], [wanted.metadata.generation, wanted.spec]);
      assert.deepEqual(status.pendingFields ?? [], []);
      const drifted = status.conditions?.find(({ type }) => type === 'Drifted');
      assert.equal(drifted, undefined);
    }
    const told = await reasons('web');
    assert.deepEqual(
      told.filter((reason) => /^(Drift|Changed|Degraded)/.test(reason)),
      [],
    );
  };

  await context.test('its clock, its link, its CPUs and its balloon', async () => {
    for (const word of ['set-clock', 'link-down', 'cpu-off']) await deed(word);
    await node.libvirt.virsh(['setmem', 'default_web', '128M', '--live'], signal);
    await expectAsWanted();
    // Nor has libvirt kept any of it for the next start.
    const next = await node.libvirt.virsh(['dumpxml', '--inactive', 'default_web'], signal);
    assert.match(next, /<clock offset='utc'/);
    assert.doesNotMatch(next, /<currentMemory unit='KiB'>131072</);
    assert.doesNotMatch(next, /<link state='down'/);
  });

  await context.test('what it ejects stays out when it reboots', async () => {
    assert.equal((await driveOf())?.path, iso);
    await deed('eject');
    await untilEjected();
    const told = await reasons('web');
    assert.deepEqual(
      told.filter((reason) => reason.startsWith('Medium')),
      ['MediumEjected Guest'],
    );
    const before = told.filter((reason) => reason.startsWith('Rebooted')).length;
    // Its guest agent cannot say any more that it has done it.
    void vm.exec('/init', 'reboot');
    await waitUntil('it has rebooted', PATIENCE_MS, () => rebooted(before), signal);
    assert.deepEqual([(await driveOf())?.path, await isEjected()], [undefined, true]);
    await expectAsWanted();
  });

  await context.test('and when it is started again, whoever runs meanwhile', async () => {
    await vm.ok(['vm', 'destroy', 'web']);
    await node.agent.kill(signal);
    await node.agent.restart(signal);
    await vm.ok(['vm', 'start', 'web']);
    assert.deepEqual([(await driveOf())?.path, await isEjected()], [undefined, true]);
    assert.match(await vm.ok(['vm', 'describe', 'web']), /setup +cdrom .*\(ejected by the guest\)/);
    const manifest = await vm.ok(['vm', 'get', 'web', '-o', 'yaml']);
    const applied = await vm.ctl(['vm', 'apply', '-f', '-'], manifest);
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(applied.stdout, /unchanged/);
    assert.match(applied.stderr, /the guest has ejected it.*novactl vm insert web setup/s);
    await expectAsWanted();
  });

  await context.test('what it ejects while no agent runs is taken out by the next', async () => {
    await vm.ok(['vm', 'insert', 'web', 'setup', iso]);
    assert.deepEqual([(await driveOf())?.path, await isEjected()], [iso, false]);
    await vm.untilConnected();
    await node.agent.kill(signal);
    const json = JSON.stringify({
      execute: 'guest-exec',
      arguments: { path: '/init', arg: ['eject'] },
    });
    await node.libvirt.virsh(['qemu-agent-command', 'default_web', json], signal);
    const isOpen = async () =>
      /tray='open'/.test(await node.libvirt.virsh(['dumpxml', 'default_web'], signal));
    await waitUntil('the drive is open', PATIENCE_MS, isOpen, signal);
    await node.agent.restart(signal);
    await untilEjected();
  });

  await context.test('it may power itself off', async () => {
    await vm.untilConnected();
    void vm.exec('/init', 'power-off');
    await waitUntil(
      'it is off',
      PATIENCE_MS,
      async () => (await documentOf('web')).status.phase === 'Stopped',
      signal,
    );
    await waitUntil(
      'it is told',
      PATIENCE_MS,
      async () => (await reasons('web')).includes('Stopped GuestShutdown'),
      signal,
    );
    await expectAsWanted();
    await vm.ok(['vm', 'delete', 'web']);
  });

  await context.test(
    'a machine boots its installer once, and then what that has made',
    async () => {
      const folder = lab.plan.sharedImages;
      await writeFile(path.join(folder, 'sector.raw'), bootableDisk('installed'));
      const disk = path.join(folder, 'root.qcow2');
      const convert = [
        'qemu-img',
        'convert',
        '-f',
        'raw',
        '-O',
        'qcow2',
        path.join(folder, 'sector.raw'),
        disk,
      ];
      await run(convert, {}, signal);
      await writeFile(path.join(folder, 'drivers.iso'), bootableCd('drivers'));
      const file = (name: string) => ({ file: { path: path.join(folder, name) } });
      const volumes = [
        { name: 'setup', kind: 'cdrom', format: 'raw', bootOrder: 1, source: file('setup.iso') },
        { name: 'root', format: 'qcow2', bootOrder: 2, source: file('root.qcow2') },
        { name: 'drivers', kind: 'cdrom', format: 'raw', source: file('drivers.iso') },
      ];
      const manifest = JSON.stringify({
        apiVersion: 'novacron.io/v1alpha1',
        kind: 'VirtualMachine',
        metadata: { name: 'fresh' },
        spec: {
          runStrategy: 'Always',
          template: { spec: { resources: { cpu: 1, memory: '64Mi' }, volumes } },
        },
      });
      await vm.ok(['vm', 'apply', '-f', '-'], manifest);
      const said = async () => {
        const log = await vm.ok(['vm', 'log', 'fresh']);
        return [...log.matchAll(/^(installer|installed|drivers)\r?$/gm)].map(([, word]) => word);
      };
      const untilSaid = (...words: string[]) =>
        waitUntil(
          `it says ${words.join()}`,
          PATIENCE_MS,
          async () => (await said()).join() === words.join(),
          signal,
        );
      const reboot = () => node.libvirt.virsh(['send-key', 'default_fresh', 'KEY_A'], signal);
      await untilSaid('installer');
      await reboot();
      await untilSaid('installer', 'installer');
      const command = { execute: 'blockdev-open-tray', arguments: { id: 'ua-disk-setup' } };
      const json = JSON.stringify(command);
      await node.libvirt.virsh(['qemu-monitor-command', 'default_fresh', json], signal);
      await waitUntil(
        'it is taken out',
        PATIENCE_MS,
        async () => (await driveOf('fresh'))?.ejected === true,
        signal,
      );
      await reboot();
      await untilSaid('installer', 'installer', 'installed');
      await vm.ok(['vm', 'destroy', 'fresh']);
      await vm.ok(['vm', 'start', 'fresh']);
      await untilSaid('installer', 'installer', 'installed', 'installed');
      // Only who says so begins anew.
      await vm.ok(['vm', 'apply', '-f', '-'], manifest);
      await vm.ok(['vm', 'insert', 'fresh', 'setup', iso]);
      await reboot();
      await untilSaid('installer', 'installer', 'installed', 'installed', 'installer');
    },
  );
});
