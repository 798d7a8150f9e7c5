import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { KILLS, SurvivingNode } from './surviving-node.ts';

for (const [victim, kill] of Object.entries(KILLS)) {
  test(`what was asked for comes about when ${victim} is killed as soon as it has answered`, async ({
    signal,
  }) => {
    const guest = await ensureDemoGuest(signal);
    await using surviving = await SurvivingNode.start(kill, signal);
    const { node, client } = surviving;
    const { kernelPath: path, initrdPath: initrd, commandLine } = guest;
    const vmWith = (labels: Record<string, string>) =>
      toVirtualMachineMessage(
        parseVirtualMachine({
          metadata: { name: 'web', labels },
          spec: {
            runStrategy: 'Once',
            template: {
              spec: {
                resources: { cpu: 1, memory: '256Mi' },
                kernel: {
                  path,
                  initrd,
                  commandLine: `${commandLine} demo.region=32M demo.fill=16M`,
                },
              },
            },
          },
        }),
      );

    const survive = surviving.survive.bind(surviving);
    const stateIs = (wanted: string) => surviving.stateIs('web', wanted);
    const { vms } = client;
    const web = { name: 'web' };

    await survive((operationId) => vms.create(vmWith({}), { signal, operationId }));
    await stateIs('running');
    const { metadata } = await vms.get(web, { signal });
    using console = watchConsole(node, await findConsoleLog(node, metadata?.uid ?? '', signal));
    await console.waitFor('A check', PATIENCE_MS, () => console.passes.length > 0, signal);
    await survive((operationId) => vms.shutdown(web, { signal, operationId }));
    await stateIs('shut off');
    await survive((operationId) => vms.start(web, { signal, operationId }));
    await stateIs('running');
    await survive((operationId) => vms.apply(vmWith({ tier: 'db' }), { signal, operationId }));
    assert.deepEqual((await vms.get(web, { signal })).metadata?.labels, { tier: 'db' });
    await survive((operationId) => vms.destroy(web, { signal, operationId }));
    await stateIs('shut off');
    await survive((operationId) => vms.delete(web, { signal, operationId }));
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
  });
}
