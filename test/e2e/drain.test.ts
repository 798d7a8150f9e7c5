import assert from 'node:assert/strict';
import { test } from 'node:test';
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
    nodes.novactl(['--node', node, 'vm', 'log', name, '--follow', '--tail', '4Ki'], signal);

  const followed = follow('a', first.name);
  const args = ['--node', 'a', 'migrate', '--all', '--to', 'b', '-o', 'json'];
  const moved = await nodes.novactl(args, signal);
  assert.equal(moved.code, 0, moved.stderr);
  const { items } = JSON.parse(moved.stdout) as { readonly items: readonly Moved[] };
  assert.deepEqual(
    items.map(({ vm, outcome }) => `${vm} ${outcome}`),
    vms.map(({ name }) => `default/${name} moved`).toSorted(),
  );
  for (const vm of vms) await vm.expectOnlyAt(b, 2n, signal);
  const ended = await followed;
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stdout, /novacron-demo count=\d+/);
  assert.match(ended.stderr, / has ended: Cannot find VM .*: it has moved to node b; /);

  const followedToItsEnd = follow('b', second.name);
  const destroyed = await nodes.novactl(['--node', 'b', 'vm', 'destroy', second.name], signal);
  assert.equal(destroyed.code, 0, destroyed.stderr);
  const off = await followedToItsEnd;
  assert.deepEqual([off.code, off.stderr.trim().split('has ended: ')[1]], [0, 'it is Stopped now']);

  const again = await nodes.novactl(['--node', 'a', 'migrate', '--all', '--to', 'b'], signal);
  assert.deepEqual([again.code, again.stderr], [0, 'There are no VMs to move\n']);
});
