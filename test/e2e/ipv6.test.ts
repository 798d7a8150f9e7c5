import { test } from 'node:test';
import { TwoNodes } from './two-nodes.ts';

const ADDRESSES = { a: 'fd00:4e6f::1', b: 'fd00:4e6f::2' } as const;

test('nodes that reach each other by IPv6 only move a VM there and back, also to an address that is given', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  await using stack = new AsyncDisposableStack();
  const { a, b } = nodes;
  for (const node of [a, b]) {
    // Without waiting for others that may have the address.
    const add = `ip -6 address add ${ADDRESSES[node.plan.name]}/64 dev eth0 nodad && ip -4 address flush dev eth0`;
    await node.run(['sh', '-c', add], signal);
  }
  for (const node of [a, b]) {
    const other = nodes.other(node).plan.name;
    const advertise = `[${ADDRESSES[node.plan.name]}]:7443`;
    const peers = { [other]: `[${ADDRESSES[other]}]:7443` };
    const settings = { listen: undefined, advertise, peers };
    stack.use(await nodes.reconfigure(node, { settings }, signal));
  }
  const vm = await nodes.bootVm(a, signal);
  await vm.moveFrom(a, signal);
  const back = await vm.migrate(b, signal, { address: `[${ADDRESSES.a}]:7443` });
  await back.expectCompleted(signal);
  await nodes.expectNothingLeft(signal);
});
