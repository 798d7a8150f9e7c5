import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../fixtures/until.ts';
import { newRequest, OneNode, uidOf } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from './served-node.ts';

/** A node that an agent has made VMs `test/web` and `test/db` on, before libvirt ceased to describe the first. */
async function withUnread({ isNewJournal = false, unreadPatienceMs = 0 } = {}) {
  const before = await OneNode.open();
  const { hypervisor, journal } = before;
  const web = newRequest('web');
  for (const request of [web, newRequest('db')]) await before.create(request);
  await before.agent.tasks[Symbol.asyncDispose]();
  const letRead = hypervisor.keepUnread(uidOf(web));
  const served = await ServedNode.start({
    hypervisor,
    isNewJournal,
    unreadPatienceMs,
    // The first listing finds it.
    ...(isNewJournal ? {} : { journal }),
  });
  return { served, uid: uidOf(web), letRead };
}

test('a VM of the node that cannot be read is shown as Unknown, and nothing can be done to it', async () => {
  const { served, uid, letRead } = await withUnread();
  await using _served = served;
  const list = await served.novactl('vm list -n test -o wide');
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, /^web +Unknown +NotRead +a +- +- +- .*cannot describe it/m);
  assert.match(list.stdout, /^db +Running +Booted +a +- +1 +64Mi +yes /m);
  const document = JSON.parse((await served.novactl('vm get test/web -o json')).stdout);
  assert.deepEqual(document.metadata, { name: 'web', namespace: 'test', uid });
  assert.equal(document.spec, undefined);
  for (const words of ['vm start test/web', 'vm delete test/web --force', 'vm shutdown test/web']) {
    const { code, stderr } = await served.novactl(words);
    assert.equal(code, 5, words);
    assert.match(stderr, /could not describe since the agent started.*STATE_NOT_READY/);
  }
  const edited = await served.novactl('vm edit test/web');
  assert.equal(edited.code, 5);
  assert.match(edited.stderr, /Cannot edit VM test\/web: .* cannot be described/);
  letRead();
  assert.equal((await served.novactl('vm delete test/web --force')).code, 0);
});

test('after the loss of its journal the agent waits, until somebody says that it shall go on', async () => {
  const { served, uid } = await withUnread({ isNewJournal: true });
  await using _served = served;
  await until('it is known', () => served.node.agent.countUnidentified() === 1);
  const refused = await served.novactl('vm list -n test');
  assert.equal(refused.code, 5);
  assert.match(refused.stderr, /journal is new.*test_web.*novactl node accept-unidentified/);
  const { stdout: node } = await served.novactl('node get');
  assert.match(node, /^a +NotReady,UnidentifiedVMs /m);
  assert.match(node, /^Ready +False .*VmsNotIdentified .*novactl node accept-unidentified/m);
  assert.match(node, new RegExp(`^test_web +${uid}$`, 'm'));

  const accepted = await served.novactl('node accept-unidentified');
  assert.equal(accepted.code, 0, accepted.stderr);
  assert.equal(
    accepted.stdout,
    `Node a goes on without knowing whose these VMs are: test_web (${uid})\n`,
  );
  const list = await served.novactl('vm list -n test -o name');
  assert.deepEqual([list.code, list.stdout], [0, 'test/db\n']);
  assert.equal((await served.novactl('vm get test/web')).code, 5);
  const { stdout: after } = await served.novactl('node get -o json');
  const { status } = JSON.parse(after);
  assert.deepEqual(status.unidentifiedVirtualMachines, [{ hypervisorName: 'test_web', uid }]);
  const again = await served.novactl('node accept-unidentified');
  assert.equal(again.stdout, 'Node a waits for no unidentified VMs\n');
});
