import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { runCli } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { until } from '../../fixtures/until.ts';
import { never, newRequest, refOf, uidOf } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from './served-node.ts';

async function withVm() {
  const served = await ServedNode.start();
  const { node } = served;
  const request = newRequest();
  await node.create(request);
  const [ref, uid] = [refOf(request), uidOf(request)];
  /** What the end of a migration leaves at its source. */
  const moveAway = async () => {
    await node.ownership.release({ ...ref, uid }, 2, 'b');
    await node.hypervisor.domains.destroy(uid, never);
    await node.hypervisor.domains.undefine(uid, never);
  };
  return { served, moveAway, key: `${ref.namespace}/${ref.name}` };
}

test('a VM that has moved is neither found nor deleted here, and its node is named', async () => {
  const { served, moveAway, key } = await withVm();
  await using _served = served;
  await moveAway();
  const deleted = await served.novactl(`vm delete ${key} --force --ignore-not-found`);
  assert.equal(deleted.code, 4);
  assert.match(deleted.stderr, /it has moved to node b, .*\(VM_NOT_OWNED\)/);
  const got = await served.novactl(`vm get ${key}`);
  assert.equal(got.code, 3);
  assert.match(got.stderr, /it has moved to node b; .*\(VM_NOT_FOUND\)/);
});

test('a VM that is gone for good elsewhere is made anew with a higher epoch', async () => {
  const { served, moveAway, key } = await withVm();
  await using _served = served;
  const { stdout: manifest } = await served.novactl(`vm get ${key} -o yaml`);
  await moveAway();
  const refused = await served.novactl('vm create -f -', manifest);
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /node b owns it since epoch 2; .* at least 3 .VM_NOT_OWNED./);
  assert.equal((await served.novactl('vm create --ownership-epoch 0 -f -', manifest)).code, 2);
  const two = `${manifest}---\n${manifest}`;
  assert.equal((await served.novactl('vm create --ownership-epoch 3 -f -', two)).code, 2);
  const made = await served.novactl('vm create --ownership-epoch 3 -f -', manifest);
  assert.deepEqual(made, { code: 0, stdout: `VM ${key} created (Running)\n`, stderr: '' });
});

test('a VM is deleted once, and not found from then on', async () => {
  const { served, key } = await withVm();
  await using _served = served;
  assert.equal((await served.novactl(`vm delete ${key} --force`)).code, 0);
  const again = await served.novactl(`vm delete ${key}`);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /not found: it was deleted before/);
});

for (const [output, pattern] of [
  ['text', / deleted {2}test\/web - it has moved to node b\n/],
  ['json', /"type":"DELETED".*"movedToNode":"b"}\n/],
] as const) {
  test(`watch -o ${output} says where a VM has gone`, async () => {
    const { served, moveAway } = await withVm();
    await using _served = served;
    served.node.run();
    const stop = new AbortController();
    using ending = new DisposableStack();
    ending.defer(() => stop.abort(new Interrupted('enough')));
    const io = new FakeCliIo({ signal: stop.signal });
    const address = `unix:${served.socket}`;
    const watching = runCli(['--address', address, 'watch', '-o', output], io);
    await until('it is shown', () => io.stdout.text.includes('web'));
    await moveAway();
    await until('it is told as gone', () => pattern.test(io.stdout.text));
    ending.dispose();
    assert.equal(await watching, 130);
  });
}
