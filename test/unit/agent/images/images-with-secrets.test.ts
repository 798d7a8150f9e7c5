import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { wantOf } from '../../../../src/agent/images/image-wants.ts';
import { hasEnded } from '../../../../src/agent/operations/operation.ts';
import type { AgentError } from '../../../../src/core/errors.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { fakeQcow2 } from '../../../fakes/fake-image-fetcher.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf } from '../vms/one-node.ts';

const SOURCE = 'oci://registry.example/vms/debian:12';
const PASSWORD = 'correct horse';
const GIVEN = Buffer.from(`puller:${PASSWORD}\n`).toString('base64');
const GIB = 2 ** 30;
const AUTH = 'spec.template.spec.image.auth';

function request(name = 'web', auth: string | undefined = 'registry'): WantedVm {
  const image = { source: SOURCE, ...(auth === undefined ? {} : { auth }) };
  const resources = { cpu: '1', memory: '64Mi' };
  return newRequest(name, { machine: { resources, image } });
}

/** A node, and an image that a registry gives to one user alone. */
async function nodeWithRegistry(): Promise<OneNode> {
  const node = await OneNode.open({ memoryVms: 6 });
  const credentials = { kind: 'password', user: 'puller', password: PASSWORD } as const;
  node.fetcher.contents.set(SOURCE, { content: fakeQcow2(GIB), credentials });
  node.agent.run();
  return node;
}

async function make(node: OneNode, wanted: WantedVm, secrets?: Readonly<Record<string, string>>) {
  const { operations } = node.agent;
  const { namespace, name } = wanted.metadata;
  const parameters = { manifest: wanted, reservationId: undefined, ...(secrets && { secrets }) };
  const vm = { namespace, name, uid: undefined };
  const id = randomUUID();
  await operations.submit({ id, kind: 'create', vm, parameters, requestedBy: 'tester' }, never);
  await until('it ends', async () => hasEnded(await operations.get(id)));
  return await operations.get(id);
}

function dryRun(node: OneNode, wanted: WantedVm) {
  const options = { dryRun: true, reservationId: undefined, ownershipEpoch: undefined };
  return node.vms.create(wanted, options, never);
}

test('an image is fetched with a secret of the node, which stands in nothing that others read', async () => {
  await using node = await nodeWithRegistry();
  node.nodeSecrets.put('registry', `puller:${PASSWORD}\n`);
  await dryRun(node, request());
  assert.equal((await make(node, request())).state, 'succeeded');
  const { definition } = await node.vms.get(refOf(request()), never);
  assert.ok(!JSON.stringify(definition).includes(PASSWORD));
  assert.ok(!node.journalText().includes(PASSWORD));
});

test('or with one that comes with the request, in the place of that of the node', async () => {
  await using node = await nodeWithRegistry();
  node.nodeSecrets.put('registry', 'puller:of the node');
  const made = await make(node, request(), { registry: GIVEN });
  assert.equal(made.state, 'succeeded');
  const { definition } = await node.vms.get(refOf(request()), never);
  for (const text of [JSON.stringify([definition, made]), node.journalText()]) {
    assert.ok(!text.includes(PASSWORD) && !text.includes(GIVEN));
  }
});

test('nobody gets what another fetches with another secret, or is refused for it', async () => {
  await using node = await nodeWithRegistry();
  const wanted = request().spec.template.spec.image;
  assert.ok(wanted);
  const hold = Promise.withResolvers<void>();
  node.fetcher.hold = hold.promise;
  const { images } = node.agent;
  const want = (given: string) => wantOf(wanted, () => Buffer.from(given));
  const right = await images.want(want(`puller:${PASSWORD}`), 'right', never);
  assert.equal(right.kind, 'coming');
  await images.want(want('puller:wrong'), 'wrong', never);
  hold.resolve();
  await until('it is here', async () => {
    const found = await images.want(want(`puller:${PASSWORD}`), 'right', never);
    return found.kind === 'here';
  });
  await assert.rejects(images.want(want('puller:wrong'), 'wrong', never), /answered 401/);
});

test('without its secret it is refused, by the field that names it', async () => {
  await using node = await nodeWithRegistry();
  node.nodeSecrets.put('two-lines', 'puller:a\nb\n');
  node.nodeSecrets.put('empty', '\n');
  for (const [name, reason] of [
    ['none', 'SECRET_NOT_FOUND'],
    ['two-lines', 'INVALID_SPEC'],
    ['empty', 'INVALID_SPEC'],
  ] as const) {
    const refusal = (error: AgentError) => {
      assert.equal(error.reason, reason);
      assert.match(
        error.message,
        new RegExp(`oci://registry.example/\\S+ with the secret ${name}`),
      );
      assert.equal(error.violations[0]?.field, AUTH);
      return true;
    };
    await assert.rejects(dryRun(node, request('web', name)), refusal);
    await assert.rejects(make(node, request('web', name)), refusal);
    await node.assertNothingOf(request());
  }
});

test('a secret that a manifest names in no image is refused, and one of a volume is not', async () => {
  await using node = await nodeWithRegistry();
  const options = { dryRun: true, updateMask: undefined, generation: undefined };
  await assert.rejects(
    node.vms.apply(request(), { ...options, secrets: { other: GIVEN } }, never),
    {
      reason: 'INVALID_REQUEST',
      message:
        /name it in cloudInit\.passwordSecret, in auth of an image, or in encryption of a volume/,
    },
  );
  const image = { source: SOURCE, auth: 'registry' };
  const volume = { name: 'data', kind: 'disk', cache: 'none', source: { image } } as const;
  const other = newRequest('db', { machine: { volumes: [volume] } });
  const planned = await node.vms.apply(other, { ...options, secrets: { registry: GIVEN } }, never);
  assert.equal(planned.outcome, 'created');
});
