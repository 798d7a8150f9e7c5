import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { test } from 'node:test';
import { TwoNodes } from '../e2e/two-nodes.ts';

const ADDRESSES = { a: 'fd00:4e6f::1', b: 'fd00:4e6f::2' } as const;

test('a VM moves there and back between hosts that are not as most are', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal);

  // As cloned hosts are. libvirt tells hosts apart by their UUIDs.
  for (const [what, hostname] of [
    ['of one hostname', a.plan.hostname],
    ['of which one has a name that nothing resolves', 'nowhere.invalid'],
  ] as const) {
    await context.test(what, async ({ signal }) => {
      await b.run(['hostname', hostname], signal);
      await nodes.restartLibvirtd(b, signal);
      const spec = { virtualMachine: { name: vm.name }, destination: { nodeName: 'b' } };
      const { blockers } = await nodes.client('a').migrations.plan(spec, { signal });
      assert.deepEqual(blockers, []);
      await vm.moveFrom(a, signal);
      await vm.moveFrom(b, signal);
    });
  }

  await context.test(
    'that reach each other by IPv6 only and have a daemon of libvirt for each driver, with nothing configured for that',
    async ({ signal }) => {
      await using stack = new AsyncDisposableStack();
      for (const node of [a, b]) {
        // Without waiting for others that may have the address.
        const add = `ip -6 address add ${ADDRESSES[node.plan.name]}/64 dev eth0 nodad && ip -4 address flush dev eth0`;
        await node.run(['sh', '-c', add], signal);
        // The same protocol at a socket of another name.
        const socket = node.outside('run/libvirt/libvirt-sock');
        await rename(socket, node.outside('run/libvirt/virtqemud-sock'));
      }
      for (const node of [a, b]) {
        const other = nodes.other(node).plan.name;
        const advertise = `[${ADDRESSES[node.plan.name]}]:7443`;
        const peers = { [other]: `[${ADDRESSES[other]}]:7443` };
        const settings = { listen: undefined, advertise, peers };
        stack.use(await nodes.reconfigure(node, { settings }, signal));
      }
      await vm.moveFrom(a, signal);
      // Also to an address that is given.
      const back = await vm.migrate(b, signal, { address: `[${ADDRESSES.a}]:7443` });
      await back.expectCompleted(signal);
      await nodes.expectNothingLeft(signal);
    },
  );
});
