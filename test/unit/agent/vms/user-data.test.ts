import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { AgentError } from '../../../../src/core/errors.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';
import { tcgOptions } from '../../../fixtures/domain-xml/definitions.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const USER_DATA = '#cloud-config\npassword: hunter2\n';
const OTHER = '#cloud-config\npassword: swordfish\n';

const FIELD = 'spec.template.spec.userData';

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');
const shown = (text: string) => `sha256:${digestOf(text)}`;

const newVm = (userData = USER_DATA) => newRequest('web', { userData });

/** The same VM with other user data, or with none. */
function having(request: WantedVm, userData: string | undefined): WantedVm {
  const { userData: _, ...machine } = request.spec.template.spec;
  const spec = userData === undefined ? machine : { ...machine, userData };
  const template = { ...request.spec.template, spec };
  return { ...request, spec: { ...request.spec, template } };
}

function apply(node: OneNode, request: WantedVm, options: { readonly dryRun?: boolean } = {}) {
  const { dryRun = false } = options;
  const rest = { generation: undefined, updateMask: undefined };
  return node.vms.apply(request, { dryRun, ...rest }, never);
}

async function definitionOf(node: OneNode, request: WantedVm): Promise<VmDefinition> {
  const definition = (await node.hypervisor.domains.find(uidOf(request), never))?.definition;
  assert.ok(definition);
  return definition;
}

async function contentOf(node: OneNode, request: WantedVm, text: string): Promise<string> {
  const file = await node.privateFiles.read(uidOf(request), 'user-data', digestOf(text), never);
  return Buffer.from(file).toString('utf8');
}

async function assertHasOnly(node: OneNode, request: WantedVm, text: string): Promise<void> {
  const { spec, privateFiles } = await definitionOf(node, request);
  assert.equal(spec.template.spec.userData, shown(text));
  assert.deepEqual(privateFiles, { 'user-data': digestOf(text) });
  assert.equal(await contentOf(node, request, text), text);
}

test('user data are put away before there is a VM that names them', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  node.privateFiles.failure = new AgentError('STORAGE_FULL', 'full');
  await assert.rejects(node.create(request), { reason: 'STORAGE_FULL' });
  assert.ok(!node.hypervisor.calls.some((call) => call.startsWith('define ')));
  node.privateFiles.failure = undefined;
  await node.assertNothingOf(request);
  await node.create(request);
  await assertHasOnly(node, request, USER_DATA);
});

for (const method of ['define', 'start'] as const) {
  test(`the user data of a VM whose ${method} fails are gone`, async () => {
    await using node = await OneNode.open();
    const request = newVm();
    node.hypervisor.fail(method, new AgentError('HYPERVISOR_FAILURE', 'no'));
    await assert.rejects(node.create(request), { reason: 'HYPERVISOR_FAILURE' });
    await node.assertNothingOf(request);
  });
}

test('the user data of a VM are gone with it', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  await node.vms.delete(refOf(request), { force: true }, never);
  await node.assertNothingOf(request);
});

test('user data that cannot be removed with their VM are told of', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  node.privateFiles.failure = new AgentError('JOURNAL_FAILURE', 'no');
  const deletion = node.vms.delete(refOf(request), { force: true }, never);
  await assert.rejects(deletion, { reason: 'JOURNAL_FAILURE' });
  assert.equal(await node.hypervisor.domains.find(uidOf(request), never), undefined);
  assert.ok((await node.findOwner(uidOf(request)))?.isDeleted);
});

test('the user data of a VM that could not be deleted are kept', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  node.hypervisor.fail('undefine', new AgentError('HYPERVISOR_FAILURE', 'no'));
  await assert.rejects(node.vms.delete(refOf(request), { force: true }, never));
  await assertHasOnly(node, request, USER_DATA);
});

test('a dry run puts nothing away, and tells of a change by digests', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request, { dryRun: true });
  await apply(node, request, { dryRun: true });
  assert.deepEqual(await node.privateFiles.listVms(never), []);
  await node.create(request);
  const { vm, changes } = await apply(node, having(request, OTHER), { dryRun: true });
  assert.deepEqual(
    changes.map(({ field }) => field),
    [FIELD],
  );
  const told = inspect([vm, changes], { depth: null });
  assert.ok(told.includes(shown(OTHER)));
  assert.ok(!/hunter2|swordfish/.test(told));
  await assertHasOnly(node, request, USER_DATA);
});

test('applying the same user data, or their digest as it is shown, changes nothing', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  for (const userData of [USER_DATA, shown(USER_DATA)]) {
    const { outcome, vm } = await apply(node, having(request, userData));
    assert.deepEqual([outcome, vm.definition.generation], ['unchanged', 1]);
    const again = await node.create(having(request, userData));
    assert.equal(again.definition.uid, uidOf(request));
  }
  await assertHasOnly(node, request, USER_DATA);
});

test('a change of something else keeps user data that are given by their digest', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  const labels = { team: 'blue' };
  const shownVm = having(request, shown(USER_DATA));
  const { outcome } = await apply(node, {
    ...shownVm,
    metadata: { ...shownVm.metadata, labels },
  });
  assert.equal(outcome, 'changed');
  assert.deepEqual((await definitionOf(node, request)).labels, labels);
  await assertHasOnly(node, request, USER_DATA);
});

test('a digest of what is not here is refused by its field', async () => {
  await using node = await OneNode.open();
  const refusal = {
    reason: 'INVALID_SPEC',
    violations: [
      {
        field: FIELD,
        description:
          'is the digest of user data that this agent does not have; write the user data themselves',
      },
    ],
  };
  const request = newVm();
  const unknown = having(request, shown(OTHER));
  await assert.rejects(node.create(unknown), refusal);
  await assert.rejects(node.create(unknown, { dryRun: true }), refusal);
  await assert.rejects(apply(node, unknown), refusal);
  await node.create(request);
  await assert.rejects(apply(node, unknown), refusal);
  await assertHasOnly(node, request, USER_DATA);
});

test('other user data take the place of those that were there, and none do too', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  const { outcome, vm } = await apply(node, having(request, OTHER));
  assert.deepEqual([outcome, vm.definition.generation], ['changed', 2]);
  await assertHasOnly(node, request, OTHER);
  await assert.rejects(contentOf(node, request, USER_DATA), { reason: 'JOURNAL_FAILURE' });
  await apply(node, having(request, undefined));
  assert.deepEqual((await definitionOf(node, request)).privateFiles, {});
  await assert.rejects(contentOf(node, request, OTHER), { reason: 'JOURNAL_FAILURE' });
});

test('a change of other fields only leaves user data that are not among them', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  const labelled = {
    ...having(request, OTHER),
    metadata: { ...request.metadata, labels: { a: 'b' } },
  };
  const change = (updateMask: readonly string[]) =>
    node.vms.apply(labelled, { dryRun: false, generation: undefined, updateMask }, never);
  await change(['metadata.labels']);
  await assertHasOnly(node, request, USER_DATA);
  await change([FIELD]);
  await assertHasOnly(node, request, OTHER);
});

test('a change that fails leaves the user data that the VM has', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  node.hypervisor.fail('define', new AgentError('HYPERVISOR_FAILURE', 'no'));
  await assert.rejects(apply(node, having(request, OTHER)), { reason: 'HYPERVISOR_FAILURE' });
  const { privateFiles } = await definitionOf(node, request);
  assert.deepEqual(privateFiles, { 'user-data': digestOf(USER_DATA) });
  assert.equal(await contentOf(node, request, USER_DATA), USER_DATA);
});

test('user data that were lost come back when they are given once more', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  await node.create(request);
  const attempts = [() => node.create(request), () => apply(node, request)];
  for (const attempt of attempts) {
    node.privateFiles.damage(uidOf(request), 'user-data', digestOf(USER_DATA));
    using lock = node.locks.tryAcquire(uidOf(request), 'a migration');
    await assert.rejects(attempt(), { reason: 'VM_BUSY' });
    lock?.[Symbol.dispose]();
    await attempt();
    await assertHasOnly(node, request, USER_DATA);
    node.assertFree(uidOf(request));
  }
});

test('a VM that is defined after its creation was undone gets its user data by a repeated request', async () => {
  await using node = await OneNode.open();
  const request = newVm();
  const land = node.hypervisor.late('define', 'timed-out');
  await assert.rejects(node.create(request), { reason: 'HYPERVISOR_TIMEOUT' });
  await node.assertNothingOf(request);
  land();
  await node.create(request);
  await assertHasOnly(node, request, USER_DATA);
});

test('nothing of user data gets into the domain, the journal or the log', async () => {
  const { log, text } = recordedLog();
  await using node = await OneNode.open({ log });
  const request = newVm();
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'));
  await assert.rejects(node.create(request));
  await node.create(request);
  await apply(node, having(request, OTHER));
  const xml = buildDomainXml(await definitionOf(node, request), tcgOptions);
  const journal = node.journalText();
  assert.ok(xml.includes(shown(OTHER)));
  assert.ok(journal.includes(uidOf(request)));
  assert.ok(text().includes('VM changed'));
  for (const place of [xml, journal, text()]) {
    assert.ok(!/hunter2|swordfish|cloud-config/.test(place));
  }
});
