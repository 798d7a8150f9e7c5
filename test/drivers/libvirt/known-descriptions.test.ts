import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { deserialize } from 'node:v8';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import { DescriptionFile } from '../../../src/drivers/libvirt/description-file.ts';
import type { DomainDescription } from '../../../src/drivers/libvirt/domain-description.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;

test('what one driver knew of VMs the next one has, until they are changed', {
  skip: skipReason(),
}, async () => {
  await using node = await PrivateLibvirt.start();
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'known-'));
  const file = path.join(folder.path, 'domains');
  const open = (build: string) =>
    openHypervisor(node, { ...UNHURRIED, descriptions: new DescriptionFile(file, build) });
  const findListed = async (build: string, { uid }: VmDefinition) => {
    await using hypervisor = await open(build);
    const vms = await hypervisor.domains.list(never);
    return vms.find((each) => each.uid === uid);
  };
  const vm = tinyVm();
  await using first = await open('one');
  await first.domains.define(vm, never);
  const described = await first.domains.find(vm.uid, never);
  assert.deepEqual(described?.definition, vm);
  await first[Symbol.asyncDispose]();
  assert.deepEqual(await findListed('one', vm), described);

  // That it is not read from the XML shows in what the XML does not say.
  const content = deserialize((await readFile(file)).subarray(4)) as {
    readonly descriptions: ReadonlyMap<string, DomainDescription>;
  };
  const others = [...content.descriptions].map(
    ([digest, description]) => [digest, { ...description, cpu: 'remembered' }] as const,
  );
  assert.equal(others.length, 1);
  await new DescriptionFile(file, 'one').write(new Map(others));
  assert.equal((await findListed('one', vm))?.cpu, 'remembered');
  assert.equal((await findListed('another', vm))?.cpu, described?.cpu);

  // Whatever changes it has another digest.
  await using last = await open('another');
  await last.domains.define({ ...vm, generation: 2 }, never);
  const changed = await last.domains.find(vm.uid, never);
  assert.equal(changed?.definition?.generation, 2);
  await last.domains.undefine(vm.uid, never);
});
