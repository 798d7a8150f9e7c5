import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { apply, manifestOf } from './manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlZ3fYw3aBvm5bk0U2a me@here';

async function withVm(machine: Partial<Machine>, runStrategy: 'Once' | 'Manual' = 'Manual') {
  const node = await OneNode.open();
  const request = newRequest('web', { runStrategy, machine });
  await node.create(request);
  const uid = uidOf(request);
  /** Whether all of this is on the disk that the guest reads at its next start. */
  const tells = (...parts: readonly string[]) =>
    parts.every((part) => node.hypervisor.seedOf(uid)?.includes(part) === true);
  const change = (changed: Partial<Machine>) =>
    apply(node, manifestOf(request, { machine: { ...machine, ...changed } }));
  return { node, request, uid, tells, change, ref: refOf(request) };
}

test('a VM without user data and cloudInit has no disk for cloud-init', async () => {
  const { node, uid } = await withVm({});
  await using _node = node;
  assert.equal(node.hypervisor.seedOf(uid), undefined);
});

test('the guest is told its name, an id that is its uid, and nothing to do', async () => {
  const { node, uid, tells } = await withVm({ cloudInit: {} });
  await using _node = node;
  assert.ok(tells(`"instance-id": "${uid}"`, '"local-hostname": "web"', '#cloud-config\n'));
  assert.ok(!tells('public-keys') && !tells('network-config'));
});

test('the guest is told what the manifest says', async () => {
  const networkConfig = 'version: 2\nethernets: {}\n';
  const cloudInit = { instanceId: '2', hostname: 'a.b', sshAuthorizedKeys: [KEY], networkConfig };
  const { node, tells } = await withVm({ userData: '#!/bin/sh\necho hi\n', cloudInit });
  await using _node = node;
  assert.ok(tells('"instance-id": "2"', '"local-hostname": "a.b"', KEY, networkConfig, 'echo hi'));
});

test('what is changed is there for the next start, and said to be for a first boot', async () => {
  const { node, request, uid, tells, change, ref } = await withVm({ userData: '#!/bin/sh\n:1\n' });
  await using _node = node;
  const first = await change({ userData: '#!/bin/sh\n:2\n' });
  assert.deepEqual([first.outcome, first.warnings], ['changed', []]);
  assert.ok(tells(':2', `"instance-id": "${uid}"`));
  await node.vms.start(ref, never);
  const second = await change({ userData: '#!/bin/sh\n:3\n' });
  assert.match(
    second.warnings.join(),
    /first boot only.*spec\.template\.spec\.cloudInit\.instanceId/,
  );
  assert.deepEqual(
    second.changes.map(({ field, effect }) => [field, effect]),
    [['spec.template.spec.userData', 'next-start']],
  );
  assert.ok(tells(':3'));
  const third = await change({ userData: '#!/bin/sh\n:3\n', cloudInit: { instanceId: 'x' } });
  assert.deepEqual(third.warnings, []);
  assert.ok(tells(':3', '"instance-id": "x"'));
  await node.vms.delete(refOf(request), { force: true }, never);
  assert.equal(node.hypervisor.seedOf(uid), undefined);
});

test('a disk that somebody has taken away is made anew when the VM is started', async () => {
  const { node, uid, tells, ref } = await withVm({ userData: '#!/bin/sh\n:1\n' });
  await using _node = node;
  node.hypervisor.loseSeed(uid);
  await node.vms.start(ref, never);
  assert.ok(tells(':1'));
});

test('a VM whose user data are lost starts with the disk that it has, and is refused without', async () => {
  const { node, uid, ref } = await withVm({ userData: '#!/bin/sh\n:1\n' });
  await using _node = node;
  await node.privateFiles.remove(uid, never);
  await node.vms.start(ref, never);
  await node.vms.destroy(ref, never);
  node.hypervisor.loseSeed(uid);
  await assert.rejects(node.vms.start(ref, never), { reason: 'JOURNAL_FAILURE' });
});

test('what a change has written that came to nothing is not what the VM starts with', async () => {
  const { node, tells, change, ref } = await withVm({ userData: '#!/bin/sh\n:1\n' });
  await using _node = node;
  node.hypervisor.fail('define', new AgentError('HYPERVISOR_FAILURE', 'no'));
  await assert.rejects(change({ userData: '#!/bin/sh\n:2\n' }), { reason: 'HYPERVISOR_FAILURE' });
  await node.vms.start(ref, never);
  assert.ok(tells(':1'));
});

test('user data that were taken out of the manifest are nowhere, while the VM still runs with the disk', async () => {
  const { node, request, uid, tells, ref } = await withVm({ userData: '#!/bin/sh\n:1\n' });
  await using _node = node;
  await node.vms.start(ref, never);
  const { userData: _, ...machine } = request.spec.template.spec;
  const without = { ...request.spec, template: { spec: machine } };
  const { outcome, warnings, vm } = await apply(node, {
    metadata: request.metadata,
    spec: without,
  });
  assert.deepEqual([outcome, warnings], ['changed', []]);
  assert.ok(node.hypervisor.seedOf(uid) !== undefined && !tells(':1'));
  const { privateFiles } = vm.definition;
  assert.deepEqual(privateFiles, {});
});

test('a change of something else goes through though the user data are lost', async () => {
  const { node, request, uid } = await withVm({ userData: '#!/bin/sh\n:1\n' });
  await using _node = node;
  await node.privateFiles.remove(uid, never);
  const { definition } = await node.vms.get(refOf(request), never);
  const labelled = { metadata: { ...request.metadata, labels: { a: 'b' } }, spec: definition.spec };
  assert.equal((await apply(node, labelled)).outcome, 'changed');
});

test('of a creation whose disk for cloud-init cannot be written nothing is left', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { machine: { cloudInit: {} } });
  node.hypervisor.fail('putSeed', new AgentError('STORAGE_FULL', 'full'));
  await assert.rejects(node.create(request), { reason: 'STORAGE_FULL' });
  assert.ok(!node.hypervisor.calls.some((call) => call.startsWith('define ')));
  await node.assertNothingOf(request);
});

const SECRET = 'spec.template.spec.cloudInit.passwordSecret';

function withSecret(passwordSecret: string) {
  return newRequest('web', { machine: { cloudInit: { passwordSecret } } });
}

test('a password comes from a secret of the node, and stands in nothing that others read', async () => {
  await using node = await OneNode.open();
  node.nodeSecrets.put('web', '$6$salt$hash\n');
  const request = withSecret('web');
  await node.create(request);
  const seed = node.hypervisor.seedOf(uidOf(request)) ?? '';
  assert.ok(seed.includes('{"password":"$6$salt$hash","chpasswd":{"expire":false}}'));
  const { definition } = await node.vms.get(refOf(request), never);
  assert.deepEqual(Object.keys(definition.privateFiles), ['password']);
  assert.ok(!JSON.stringify(definition).includes('$6$'));
});

test('a password may come with the request, in the place of a secret of the node, and stands in nothing that others read', async () => {
  await using node = await OneNode.open();
  node.nodeSecrets.put('web', 'of the node');
  const request = withSecret('web');
  const given = Buffer.from('hunter2').toString('base64');
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  const secrets = { web: given };
  await node.vms.apply(request, { ...options, secrets }, never);
  assert.ok(node.hypervisor.seedOf(uidOf(request))?.includes('"password":"hunter2"'));
  const { definition } = await node.vms.get(refOf(request), never);
  assert.ok(!JSON.stringify(definition).includes('hunter2'));
  assert.ok(!node.journalText().includes('hunter2') && !node.journalText().includes(given));
  const again = await node.vms.apply(request, { ...options, secrets }, never);
  assert.equal(again.outcome, 'unchanged');
  assert.match(again.warnings.join(), /The secret web was not used: the VM has had its password/);
});

test('a secret that nothing in the manifest names is refused, by its name', async () => {
  await using node = await OneNode.open();
  const request = withSecret('web');
  const secrets = { web: 'eA==', other: 'eA==' };
  const options = { dryRun: true, updateMask: undefined, generation: undefined, secrets };
  await assert.rejects(node.vms.apply(request, options, never), {
    reason: 'INVALID_REQUEST',
    message: /Cannot use the secret other: it is named by nothing in the manifest/,
  });
});

test('a secret that has changed is read when the VM names another one, and not before', async () => {
  await using node = await OneNode.open();
  node.nodeSecrets.put('web', 'first');
  node.nodeSecrets.put('web-2', 'third');
  const request = withSecret('web');
  const { metadata } = request;
  const seedHas = (text: string) => node.hypervisor.seedOf(uidOf(request))?.includes(text);
  await node.create(request);
  node.nodeSecrets.put('web', 'second');
  const labelled = { ...request, metadata: { ...metadata, labels: { a: 'b' } } };
  assert.equal((await apply(node, labelled)).outcome, 'changed');
  assert.ok(seedHas('"first"'));
  node.nodeSecrets.remove('web');
  assert.equal((await apply(node, labelled)).outcome, 'unchanged');
  await apply(node, { ...withSecret('web-2'), metadata });
  assert.ok(seedHas('"third"') && !seedHas('"first"'));
  const cloudInit = {};
  await apply(node, { ...newRequest('web', { machine: { cloudInit } }), metadata });
  assert.ok(!seedHas('"third"'));
  const { definition } = await node.vms.get(refOf(request), never);
  assert.deepEqual(definition.privateFiles, {});
});

test('a secret that cannot be used is refused by field before anything is made', async () => {
  await using node = await OneNode.open();
  node.nodeSecrets.put('two', 'one\ntwo\n');
  node.nodeSecrets.put('empty', '\n');
  for (const [name, reason] of [
    ['none', 'SECRET_NOT_FOUND'],
    ['two', 'INVALID_SPEC'],
    ['empty', 'INVALID_SPEC'],
  ] as const) {
    const request = withSecret(name);
    for (const dryRun of [true, false]) {
      await assert.rejects(apply(node, request, { dryRun }), (error: AgentError) => {
        assert.equal(error.reason, reason);
        assert.equal(error.violations[0]?.field, SECRET);
        assert.ok(!error.message.includes('one'.concat('\n')));
        return true;
      });
    }
    await node.assertNothingOf(request);
  }
});
