import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NovactlTerminal } from './novactl-terminal.ts';
import { TwoNodes } from './two-nodes.ts';

interface Moved {
  readonly vm: string;
  readonly outcome: string;
}

test('a node is emptied by one command, and consoles that are followed end with their VMs', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vms = await Promise.all([nodes.bootVm(a, signal), nodes.bootVm(a, signal)]);
  const [first, second] = vms;
  assert.ok(first !== undefined && second !== undefined);
  const follow = (node: string, name: string) =>
    new NovactlTerminal(nodes.lab, [
      '--node',
      node,
      'vm',
      'log',
      name,
      '--follow',
      '--tail',
      '4Ki',
    ]);

  using followed = follow('a', first.name);
  await followed.shows(/novacron-demo count=\d+/);
  const args = ['--node', 'a', 'migrate', '--all', '--to', 'b', '-o', 'json'];
  const moved = await nodes.novactl(args, signal);
  assert.equal(moved.code, 0, moved.stderr);
  const { items } = JSON.parse(moved.stdout) as { readonly items: readonly Moved[] };
  assert.deepEqual(
    items.map(({ vm, outcome }) => `${vm} ${outcome}`),
    vms.map(({ name }) => `default/${name} moved`).toSorted(),
  );
  for (const vm of vms) await vm.expectOnlyAt(b, 2n, signal);
  await followed.shows(/ has ended: Cannot find VM .*: it has moved to node b; /);
  await followed.shows(/exit 0/);

  using followedToItsEnd = follow('b', second.name);
  await followedToItsEnd.shows(/novacron-demo count=\d+/);
  const destroyed = await nodes.novactl(['--node', 'b', 'vm', 'destroy', second.name], signal);
  assert.equal(destroyed.code, 0, destroyed.stderr);
  await followedToItsEnd.shows(/has ended: it is Stopped now\r\n/);
  await followedToItsEnd.shows(/exit 0/);

  const again = await nodes.novactl(['--node', 'a', 'migrate', '--all', '--to', 'b'], signal);
  assert.deepEqual([again.code, again.stderr], [0, 'There are no VMs to move\n']);
});
