import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDemoDisk } from '../../lab/guest/demo-disk.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { foreignDomain, pidOfDomain } from '../e2e/foreign-domain.ts';
import { KILLS, SurvivingNode } from './surviving-node.ts';

for (const [victim, kill] of Object.entries(KILLS)) {
  test(`a VM of virsh's is adopted whole when ${victim} is killed as soon as that was asked for`, async ({
    signal,
  }) => {
    const guest = await ensureDemoGuest(signal);
    await using surviving = await SurvivingNode.start(kill, signal);
    const { lab, node, client } = surviving;
    const { directory, sharedImages } = lab.plan;
    const disk = await createDemoDisk(sharedImages, 'shop', signal);
    const file = join(directory, 'shop.xml');
    await writeFile(file, foreignDomain(guest, { name: 'shop', diskPath: disk.path }));
    for (const words of [
      ['define', file],
      ['autostart', 'shop'],
      ['start', 'shop'],
    ]) {
      await node.libvirt.virsh(words, signal);
    }
    const pid = pidOfDomain(node, 'shop');
    const { vms } = client;
    await surviving.survive((operationId) => vms.adopt('shop', { signal, operationId }));
    const adopted = await vms.get({ name: 'shop' }, { signal });
    assert.equal(adopted.metadata?.generation, 1n);
    assert.equal(pidOfDomain(node, 'shop'), pid);
    // All of it, whatever was killed in the middle.
    for (const inactive of [[], ['--inactive']]) {
      const xml = await node.libvirt.virsh(['dumpxml', ...inactive, 'shop'], signal);
      assert.match(xml, /<novacron:vm [^>]*adopted=/);
    }
    assert.match(await node.libvirt.virsh(['dominfo', 'shop'], signal), /Autostart: +disable/);
    await surviving.survive((operationId) =>
      vms.delete({ name: 'shop' }, { signal, operationId, force: true }),
    );
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
  });
}
