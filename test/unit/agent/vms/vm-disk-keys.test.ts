import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const KEY = 'open, sesame 6f1d';
const DATA = {
  name: 'data',
  size: '1Gi',
  kind: 'disk',
  cache: 'none',
  encryption: { secret: 'data-key' },
} as const;
const APPLY = { dryRun: false, updateMask: undefined, generation: undefined } as const;
const FIELD = 'spec.template.spec.volumes[0].encryption';

function withVolumes(request: WantedVm, volumes: Machine['volumes']): WantedVm {
  const { spec } = request;
  const machine = { ...spec.template.spec, volumes };
  return { ...request, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}

async function nodeWith(volumes: Machine['volumes'] = [DATA]) {
  const node = await OneNode.open();
  node.nodeSecrets.put('data-key', `${KEY}\n`);
  const request = newRequest('web', { machine: { volumes } });
  return { node, request };
}

void test('a VM with an encrypted disk is made with the key of the node, and the hypervisor has it', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  const vm = await node.create(request);
  assert.equal(vm.phase, 'running');
  assert.deepEqual(node.hypervisor.diskKeysOf(uidOf(request)), { data: KEY });
  const { data } = vm.definition.madeDisks;
  assert.deepEqual(data?.encryption, { secret: 'data-key' });
  assert.deepEqual(node.diskFiles.keyOf(data?.path ?? ''), KEY);
  assert.ok(!inspect(vm, { depth: 20 }).includes(KEY));
});

void test('the key may come with the request, for the disk of an image too', async () => {
  const { node } = await nodeWith();
  await using _ = node;
  const request = newRequest('web', { machine: { volumes: [DATA] } });
  node.nodeSecrets.remove('data-key');
  const secrets = { 'data-key': Buffer.from(KEY).toString('base64') };
  const made = await node.vms.apply(request, { ...APPLY, secrets }, never);
  assert.equal(made.outcome, 'created');
  assert.deepEqual(node.hypervisor.diskKeysOf(uidOf(request)), { data: KEY });
  const again = await node.vms.apply(request, { ...APPLY, secrets }, never);
  assert.match(again.warnings.join(), /secret data-key was not used: the disks .* have been made/);
});

void test('without its key, or with what is none, nothing is made, and the field says why', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  for (const [content, reason, words] of [
    [undefined, 'SECRET_NOT_FOUND', /names data-key: data-key is not there/],
    ['', 'INVALID_SPEC', /one line of 1 to 1024 bytes: the key/],
    ['two\nlines', 'INVALID_SPEC', /one line/],
    ['\u{0}', 'INVALID_SPEC', /one line/],
  ] as const) {
    if (content === undefined) node.nodeSecrets.remove('data-key');
    else node.nodeSecrets.put('data-key', content);
    for (const dryRun of [true, false]) {
      await assert.rejects(node.vms.apply(request, { ...APPLY, dryRun }, never), (error) => {
        const { reason: found, violations = [] } = error as {
          readonly reason: string;
          readonly violations?: readonly { readonly field: string; readonly description: string }[];
        };
        assert.deepEqual([found, violations[0]?.field], [reason, `${FIELD}.secret`]);
        assert.match(violations[0]?.description ?? '', words);
        return true;
      });
    }
  }
  assert.deepEqual(node.diskFiles.paths, []);
  await node.assertNothingOf(request);
});

void test('where the hypervisor has no place for keys nothing is made, and a dry run says so', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  node.hypervisor.host.hasSecrets = false;
  await assert.rejects(node.vms.apply(request, { ...APPLY, dryRun: true }, never), {
    reason: 'FEATURE_NOT_SUPPORTED',
    message: /volumes\[0\]\.encryption needs libvirt's driver for secrets/,
  });
  node.hypervisor.host.hasSecrets = true;
  node.hypervisor.fail('putDiskKeys', new Error('No secrets'));
  await assert.rejects(node.create(request));
  assert.deepEqual(node.diskFiles.paths, []);
  await node.assertNothingOf(request);
});

void test('a VM is started with its key after the hypervisor has forgotten that, whatever the secret of the node is by then', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  await node.create(request);
  node.nodeSecrets.remove('data-key');
  node.hypervisor.forgetDiskKeys();
  await node.vms.destroy(refOf(request), never);
  const vm = await node.vms.start(refOf(request), never);
  assert.equal(vm.phase, 'running');
  assert.deepEqual(node.hypervisor.diskKeysOf(uidOf(request)), { data: KEY });
});

void test('a VM whose keys are lost is not started, and says so before', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  await node.create(request);
  await node.vms.destroy(refOf(request), never);
  await node.privateFiles.remove(uidOf(request), never);
  const lost = { reason: 'JOURNAL_FAILURE', message: /lost their keys .* put its file of keys/ };
  await assert.rejects(node.vms.assertCan('start', refOf(request), never), lost);
  await assert.rejects(node.vms.start(refOf(request), never), lost);
});

void test('another volume gets its key beside those that are there, and a volume that is taken out keeps its', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  await node.create(request);
  node.nodeSecrets.put('data-key', 'something else by now');
  node.nodeSecrets.put('log-key', 'second key');
  const log = { ...DATA, name: 'log', encryption: { secret: 'log-key' } };
  await node.vms.apply(withVolumes(request, [DATA, log]), APPLY, never);
  const both = { data: KEY, log: 'second key' };
  assert.deepEqual(node.hypervisor.diskKeysOf(uidOf(request)), both);
  await node.vms.apply(withVolumes(request, [log]), APPLY, never);
  node.hypervisor.forgetDiskKeys();
  await node.vms.apply(withVolumes(request, [DATA, log]), APPLY, never);
  await node.vms.destroy(refOf(request), never);
  await node.vms.start(refOf(request), never);
  assert.deepEqual(node.hypervisor.diskKeysOf(uidOf(request)), both);
});

void test('a disk that is made keeps its key, and stays encrypted or not', async () => {
  const plain = { ...DATA, name: 'plain', encryption: undefined };
  const { node, request } = await nodeWith([DATA, plain]);
  await using _ = node;
  await node.create(request);
  node.nodeSecrets.put('other-key', 'another');
  const other = { secret: 'other-key' };
  const { encryption: _encryption, ...open } = DATA;
  for (const [volumes, field, words] of [
    [[{ ...DATA, encryption: other }, plain], `${FIELD}.secret`, /cannot give a disk another key/],
    [[open, plain], FIELD, /cannot decrypt .*; say so again \(encryption: \{secret: data-key\}\)/],
    [
      [DATA, { ...plain, encryption: other }],
      FIELD.replace('0', '1'),
      /cannot encrypt a disk .*; leave it out/,
    ],
  ] as const) {
    const wanted = withVolumes(request, [...volumes]);
    await assert.rejects(node.vms.apply(wanted, { ...APPLY, dryRun: true }, never), (error) => {
      const { message, violations = [] } = error as Error & {
        readonly violations?: readonly { readonly field: string }[];
      };
      assert.match(message, words);
      assert.equal(violations[0]?.field, field);
      return true;
    });
  }
});

void test('the keys go with the VM, and its disk with it where that is said', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  await node.create(request);
  await node.vms.delete(refOf(request), { force: true, disks: 'remove' }, never);
  assert.equal(node.hypervisor.diskKeysOf(uidOf(request)), undefined);
  assert.deepEqual(node.diskFiles.paths, []);
  assert.deepEqual(await node.privateFiles.listVms(never), []);
});

void test('a VM that is made anew by its uid has its disk again with its key, and with no other', async () => {
  const { node, request } = await nodeWith();
  await using _ = node;
  await node.create(request);
  await node.vms.delete(refOf(request), { force: true }, never);
  const again = { dryRun: false, reservationId: undefined, ownershipEpoch: 9 };
  node.nodeSecrets.put('data-key', 'another');
  await assert.rejects(node.vms.create(request, again, never), { reason: 'IMAGE_INVALID' });
  node.nodeSecrets.put('data-key', KEY);
  assert.equal((await node.vms.create(request, again, never)).vm.phase, 'running');
});
