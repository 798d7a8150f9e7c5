import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { OperationSecrets } from '../../../../src/agent/operations/operation-secrets.ts';
import { SECRET_PARAMETERS as PARAMETER } from '../../../../src/agent/vms/secret-parameters.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { FakePrivateFiles } from '../../../fakes/fake-private-files.ts';

const never = new AbortController().signal;
const TEXT = '#cloud-config\npassword: hünter2\n';

const parametersWith = (userData?: string) => ({
  manifest: { metadata: { name: 'web' }, spec: { template: { spec: { userData } } } },
  generation: 3,
});

function withSecrets(openIds: readonly string[] = [], privateFiles = new FakePrivateFiles()) {
  const log = createLogger('silent');
  const secrets = new OperationSecrets({ privateFiles, openIds, log });
  const folders = () => privateFiles.listVms(never);
  return { secrets, privateFiles, folders };
}

test('an operation gets back what the journal does not have, also from another agent', async () => {
  const id = randomUUID();
  const given = parametersWith(TEXT);
  const kept = PARAMETER.withDigest(given);
  assert.ok(!JSON.stringify(kept).includes('cloud-config'));
  const before = withSecrets();
  await before.secrets.keep(id, PARAMETER, given, never);
  const { secrets, folders } = withSecrets([id], before.privateFiles);
  assert.deepEqual(await secrets.restore({ id, parameters: kept }, PARAMETER, never), given);
  await secrets.drop({ id, parameters: kept }, PARAMETER);
  assert.deepEqual(await folders(), []);
});

test('what has no secret, or only its digest, is kept nowhere and stays as it is', async () => {
  const { secrets, folders } = withSecrets();
  const id = randomUUID();
  for (const parameters of [parametersWith(), PARAMETER.withDigest(parametersWith(TEXT))]) {
    await secrets.keep(id, PARAMETER, parameters, never);
    assert.deepEqual(await secrets.restore({ id, parameters }, PARAMETER, never), parameters);
  }
  const unchecked = { manifest: { spec: {} } };
  await secrets.keep(id, PARAMETER, unchecked, never);
  assert.deepEqual(PARAMETER.withDigest(unchecked), unchecked);
  assert.deepEqual(await folders(), []);
});

test('a VM whose uid is the id of an operation keeps its files', async () => {
  const { secrets, privateFiles, folders } = withSecrets();
  const id = randomUUID();
  await privateFiles.put(id, 'user-data', Buffer.from(TEXT), never);
  await secrets.keep(id, PARAMETER, parametersWith(TEXT), never);
  assert.equal((await folders()).length, 2);
  await secrets.drop({ id, parameters: parametersWith(TEXT) }, PARAMETER);
  assert.deepEqual(await folders(), [id]);
});

test('the files of an operation are in use from before it begins until it has ended', async () => {
  const id = randomUUID();
  const operation = { id, parameters: PARAMETER.withDigest(parametersWith(TEXT)) };
  const { secrets, privateFiles, folders } = withSecrets();
  await secrets.keep(id, PARAMETER, parametersWith(TEXT), never);
  const [folder = ''] = await folders();
  const sweep = (by: OperationSecrets) =>
    by.unlessInUse(folder, () => privateFiles.remove(folder, never));
  await sweep(secrets);
  await sweep(withSecrets([id], privateFiles).secrets);
  assert.deepEqual(await folders(), [folder]);
  // One that cannot be removed now is no longer in use.
  privateFiles.failure = new AgentError('JOURNAL_FAILURE', 'no');
  await secrets.drop(operation, PARAMETER);
  privateFiles.failure = undefined;
  await sweep(secrets);
  assert.deepEqual(await folders(), []);
});

test('one that begins while its unused files are removed has its own', async () => {
  const id = randomUUID();
  const { secrets, privateFiles, folders } = withSecrets();
  await secrets.keep(id, PARAMETER, parametersWith(TEXT), never);
  const [folder = ''] = await folders();
  await secrets.drop({ id, parameters: parametersWith(TEXT) }, PARAMETER);
  const { promise: goOn, resolve } = Promise.withResolvers<void>();
  const sweep = secrets.unlessInUse(folder, async () => {
    await goOn;
    await privateFiles.remove(folder, never);
  });
  const kept = secrets.keep(id, PARAMETER, parametersWith(TEXT), never);
  resolve();
  await Promise.all([sweep, kept]);
  assert.deepEqual(await folders(), [folder]);
});

test('what is there and cannot be read is not taken for what was never given', async () => {
  const id = randomUUID();
  const { secrets, privateFiles, folders } = withSecrets();
  const given = parametersWith(TEXT);
  const parameters = PARAMETER.withDigest(given);
  await secrets.keep(id, PARAMETER, given, never);
  const [folder = ''] = await folders();
  privateFiles.damage(folder, 'secret', PARAMETER.digestOf(given) ?? '');
  const restoring = secrets.restore({ id, parameters }, PARAMETER, never);
  await assert.rejects(restoring, { reason: 'JOURNAL_FAILURE' });
});

test('what cannot be kept is not begun', async () => {
  const { secrets, privateFiles } = withSecrets();
  privateFiles.failure = new AgentError('STORAGE_FULL', 'full');
  const keep = secrets.keep(randomUUID(), PARAMETER, parametersWith(TEXT), never);
  await assert.rejects(keep, { reason: 'STORAGE_FULL' });
});

test('secrets that were given beside a manifest come back with its user data, and stand in no journal', async () => {
  const id = randomUUID();
  const password = Buffer.from('hunter2').toString('base64');
  for (const userData of [TEXT, undefined]) {
    const given = { ...parametersWith(userData), secrets: { b: 'eA==', a: password } };
    const kept = PARAMETER.withDigest(given);
    assert.ok(!JSON.stringify(kept).includes(password));
    // Whoever asks again may name them in another order.
    const again = { ...parametersWith(userData), secrets: { a: password, b: 'eA==' } };
    assert.deepEqual(PARAMETER.withDigest(again), kept);
    const other = { ...parametersWith(userData), secrets: { a: 'eA==', b: 'eA==' } };
    assert.notDeepEqual(PARAMETER.withDigest(other), kept);
    const before = withSecrets();
    await before.secrets.keep(id, PARAMETER, given, never);
    const { secrets } = withSecrets([id], before.privateFiles);
    assert.deepEqual(await secrets.restore({ id, parameters: kept }, PARAMETER, never), given);
    await secrets.drop({ id, parameters: kept }, PARAMETER);
    assert.deepEqual(await before.folders(), []);
  }
});
