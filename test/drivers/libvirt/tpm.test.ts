import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Machine } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { type PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;
const TPM = { version: '2.0' } as const;
const MARK = Buffer.from('this one has been here before');

describe('TPM and Secure Boot', { skip: skipReason() }, () => {
  let pair: LibvirtPair;
  before(async () => {
    pair = await LibvirtPair.start();
  });
  after(() => pair[Symbol.asyncDispose]());

  test('a VM has them as asked, and leaves nothing of them', async () => {
    const { source, sourceNode } = pair;
    const vm = vmWith({ type: 'uefi', secureBoot: true, tpm: TPM });
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const xml = sourceNode.virsh('dumpxml', vm.uid);
    assert.match(xml, /<loader [^>]*secure='yes'[^>]*>.*\.ms\.fd</);
    assert.match(xml, /<smm state='on'/);
    const found = await source.domains.find(vm.uid, never);
    assert.deepEqual([found?.drift, found?.definition], [[], vm]);
    assert.ok(existsSync(stateOf(sourceNode, vm)));
    assert.ok(existsSync(variablesOf(sourceNode, vm, '-secure')));
    await source.domains.destroy(vm.uid, never);
    await source.domains.undefine(vm.uid, never);
    assert.ok(!existsSync(stateOf(sourceNode, vm)));
    assert.ok(!existsSync(variablesOf(sourceNode, vm, '-secure')));
  });

  test('variables that were made without Secure Boot are never used with it, and are there again without', async () => {
    const { source, sourceNode } = pair;
    const vm = vmWith({ type: 'uefi' });
    await run(vm);
    const plain = variablesOf(sourceNode, vm, '');
    await mark(plain);
    await run(changed(vm, { type: 'uefi', secureBoot: true }));
    assert.ok(!(await readFile(variablesOf(sourceNode, vm, '-secure'))).includes(MARK));
    await run(changed(vm, { type: 'uefi', secureBoot: true, secureBootKeys: 'none' }));
    assert.ok(!(await readFile(variablesOf(sourceNode, vm, '-secure-own'))).includes(MARK));
    await run(changed(vm, { type: 'uefi' }));
    assert.ok((await readFile(plain)).includes(MARK));
    await source.domains.undefine(vm.uid, never);
    for (const kind of ['', '-secure', '-secure-own']) {
      assert.ok(!existsSync(variablesOf(sourceNode, vm, kind)), kind);
    }
  });

  test('variables that are to be reset are made anew at each start, with the keys of Secure Boot', async () => {
    const { sourceNode } = pair;
    const kinds = [
      ['', { type: 'uefi' }],
      ['-secure', { type: 'uefi', secureBoot: true }],
      ['-secure-own', { type: 'uefi', secureBoot: true, secureBootKeys: 'none' }],
    ] as const;
    for (const [kind, firmware] of kinds) {
      const vm = vmWith({ ...firmware, nvram: 'reset' });
      await run(vm);
      const file = variablesOf(sourceNode, vm, kind);
      await mark(file);
      const spoilt = await readFile(file);
      await run(vm);
      const fresh = await readFile(file);
      assert.ok(!fresh.includes(MARK), kind);
      assert.equal(fresh.length, spoilt.length);
      // What Microsoft's keys are enrolled with.
      assert.equal(fresh.includes('Microsoft Corporation UEFI CA'), kind === '-secure');
      await mark(file);
      await run(changed(vm, { ...firmware, nvram: 'keep' }));
      assert.ok((await readFile(file)).includes(MARK), kind);
      await pair.source.domains.undefine(vm.uid, never);
    }
  });

  test('what a TPM keeps goes with its VM to another node', async () => {
    const { source, destination, sourceNode, destinationNode } = pair;
    const vm = vmWith({ type: 'bios', tpm: TPM });
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const before = await readFile(path.join(stateOf(sourceNode, vm), 'tpm2/tpm2-00.permall'));
    await source.jobs.migrate(vm.uid, pair.migration(vm, 'fast'), never);
    const file = path.join(stateOf(destinationNode, vm), 'tpm2/tpm2-00.permall');
    const arrived = await readFile(file);
    // What it was made with is in there: its seeds. A new TPM has others.
    assert.equal(arrived.length, before.length);
    assert.ok(sameBytes(arrived, before) > 0.9 * before.length);
    await source.domains.removeFiles(vm.uid, never);
    assert.ok(!existsSync(stateOf(sourceNode, vm)));
    await destination.domains.destroy(vm.uid, never);
    await destination.domains.start(vm.uid, never);
    await destination.domains.destroy(vm.uid, never);
    await destination.domains.undefine(vm.uid, never);
  });

  test('a TPM that is taken out leaves its state to the one that is put in again, and to nobody else', async () => {
    const { source, sourceNode } = pair;
    const vm = vmWith({ type: 'bios', tpm: TPM });
    await run(vm);
    await run(changed(vm, { type: 'bios' }));
    assert.ok(existsSync(stateOf(sourceNode, vm)));
    assert.ok((await source.domains.listFiles(never)).includes(vm.uid));
    await source.domains.undefine(vm.uid, never);
    assert.ok(!existsSync(stateOf(sourceNode, vm)));
  });

  test('a node says beforehand what of a firmware it lacks, and what to do', async () => {
    const { source, sourceNode } = pair;
    const firmware = { type: 'uefi', secureBoot: true, tpm: TPM } as const;
    assert.deepEqual(await source.host.findFirmwareProblems(firmware, never), []);
    assert.deepEqual(await source.host.findFirmwareProblems({ type: 'bios' }, never), []);
    using undo = new DisposableStack();
    const images = '/usr/share/qemu/firmware';
    sourceNode.run('mount', '-t', 'tmpfs', 'none', images);
    undo.defer(() => sourceNode.run('umount', images));
    const problems = await source.host.findFirmwareProblems(firmware, never);
    assert.deepEqual(
      problems.map(({ part }) => part),
      ['type'],
    );
    assert.match(problems[0]?.description ?? '', /apt-get install ovmf/);
  });

  async function run(vm: VmDefinition): Promise<void> {
    await pair.source.domains.define(vm, never);
    await pair.source.domains.start(vm.uid, never);
    await pair.source.domains.destroy(vm.uid, never);
  }
});

function vmWith(firmware: NonNullable<Machine['firmware']>): VmDefinition {
  return tinyVm({}, { firmware });
}

function changed(vm: VmDefinition, firmware: NonNullable<Machine['firmware']>): VmDefinition {
  const { uid, namespace, name, generation } = vm;
  return { ...vmWith(firmware), uid, namespace, name, generation: generation + 1 };
}

function stateOf({ folder }: PrivateLibvirt, { uid }: VmDefinition): string {
  return path.join(folder, 'var/lib/libvirt/swtpm', uid);
}

function variablesOf({ folder }: PrivateLibvirt, { uid }: VmDefinition, kind: string): string {
  return path.join(folder, `var/lib/libvirt/qemu/nvram/${uid}${kind}_VARS.fd`);
}

/** Writes something into the last bytes, which the firmware leaves alone. */
async function mark(file: string): Promise<void> {
  const content = await readFile(file);
  MARK.copy(content, content.length - MARK.length);
  await writeFile(file, content);
}

function sameBytes(one: Buffer, other: Buffer): number {
  return one.reduce((same, byte, at) => same + (byte === other[at] ? 1 : 0), 0);
}
