import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { until } from '../../fixtures/until.ts';
import { newRequest, uidOf } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from './served-node.ts';

async function withVms(...names: readonly string[]) {
  const served = await ServedNode.start();
  const requests = names.map((name) => newRequest(name, { runStrategy: 'Always' }));
  for (const request of requests) await served.node.create(request);
  const { namespace = '' } = requests[0]?.metadata ?? {};
  return { served, uids: requests.map(uidOf), namespace };
}

test('a dry run says which VMs would be powered off and changes nothing', async () => {
  const { served, namespace } = await withVms('web', 'db');
  await using _served = served;
  const { code, stdout } = await served.novactl('node shutdown-vms --dry-run');
  assert.equal(code, 0);
  assert.equal(
    stdout.replaceAll(`${namespace}/`, ''),
    `${'VM'.padEnd(namespace.length + 4)}   STATE     MESSAGE\ndb    Planned   -\nweb   Planned   -\n`,
  );
  assert.match((await served.novactl('node get')).stdout, / Ready /);
});

test('it is waited for until all VMs are off, each is told, and the node says so until it is called off', async () => {
  const { served, uids, namespace } = await withVms('web', 'db');
  await using _served = served;
  const [web = '', db = ''] = uids;
  const { hypervisor } = served.node;
  hypervisor.slowShutdown = true;
  const io = new FakeCliIo();
  const waiting = served.novactl('node shutdown-vms --timeout 2s', '', { io });
  await until('both are asked', () =>
    uids.every((uid) => hypervisor.calls.includes(`shutdown ${uid}`)),
  );
  hypervisor.stopGuest(db);
  const { code, stdout, stderr } = await waiting;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /db +Off +-\n.*web +PowerCut +-\n/s);
  assert.match(
    stderr,
    new RegExp(`^Waiting for 2 VMs, [12]s left: ${namespace}/db, ${namespace}/web\n`),
  );
  assert.match(stderr, /VM \S+\/db is off\n.*VM \S+\/web is off, its power was cut\n/s);
  assert.ok(hypervisor.calls.includes(`destroy ${web}`));

  assert.match((await served.novactl('node get')).stdout, / Ready,ShuttingDown /);
  const { stdout: yaml } = await served.novactl('node get -o yaml');
  assert.match(yaml, / {2}shutdown:\n {4}requestedBy: unix:root\n(.*\n){2} {4}done: true\n/);
  assert.match(yaml, /type: ShuttingDown\n {6}status: "?True"?\n {6}reason: Done\n/);
  const refused = await served.novactl(`vm start ${namespace}/web`);
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /NODE_SHUTTING_DOWN[^]*--abort/);

  const aborted = await served.novactl('node shutdown-vms --abort');
  assert.match(aborted.stdout, /is not being shut down; VMs may be started\n/);
  await until('both run again', async () => {
    const { stdout: list } = await served.novactl('vm list');
    return list.match(/Running/g)?.length === 2;
  });
});

test('who does not wait is told how to watch and to call it off', async () => {
  const { served } = await withVms('web');
  await using _served = served;
  served.node.hypervisor.slowShutdown = true;
  const { code, stdout, stderr } = await served.novactl('node shutdown-vms --no-wait -o name');
  assert.deepEqual([code, stdout.endsWith('/web\n')], [0, true]);
  assert.match(stderr, /goes on\.[^]*novactl node shutdown-vms --abort/);
});

test('who waits is told when it is called off, and that is no success', async () => {
  const { served } = await withVms('web');
  await using _served = served;
  served.node.hypervisor.slowShutdown = true;
  const io = new FakeCliIo();
  const waiting = served.novactl('node shutdown-vms', '', { io });
  await until('it waits', () => io.stderr.text.startsWith('Waiting for 1 VM, '));
  await served.novactl('node shutdown-vms --abort');
  const { code, stderr } = await waiting;
  assert.equal(code, 1);
  assert.match(stderr, /The shutdown was called off\n$/);
});

test('a node without VMs is done at once, and says so for programs', async () => {
  const { served } = await withVms();
  await using _served = served;
  const { code, stdout, stderr } = await served.novactl('node shutdown-vms');
  assert.deepEqual([code, stdout, stderr], [0, '', 'No VM was on\n']);
  const { stdout: json } = await served.novactl('node shutdown-vms -o json');
  const document = JSON.parse(json) as { done: boolean; requestedBy: string };
  assert.deepEqual([document.done, document.requestedBy], [true, 'unix:root']);
});

test('a time that is no time is refused', async () => {
  const { served } = await withVms();
  await using _served = served;
  const { code, stderr } = await served.novactl('node shutdown-vms --timeout 2h');
  assert.equal(code, 4);
  assert.match(stderr, /timeout must be from 1s to 3600s/);
});
