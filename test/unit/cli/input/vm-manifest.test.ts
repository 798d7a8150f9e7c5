import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { readVmManifests, toVmInput } from '../../../../src/cli/input/vm-manifest.ts';
import { runCli } from '../../../../src/cli/program.ts';
import { vmDocument } from '../../../../src/cli/views/vm-view.ts';
import { VirtualMachine } from '../../../../src/client/api.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { FakeCliIo } from '../../../fakes/fake-cli-io.ts';
import { FULL, MANIFEST } from './manifest-samples.ts';

async function read(text: string, namespace?: string) {
  const io = new FakeCliIo();
  io.stdin = text;
  const filter = namespace === undefined ? {} : { namespace };
  return await readVmManifests({ filename: ['-'], ...filter }, io);
}

async function readOne(text: string, namespace?: string): Promise<VirtualMachine> {
  const [part, ...others] = await read(text, namespace);
  assert.equal(others.length, 0);
  if (part === undefined) throw new Error('There is no manifest');
  if ('error' in part) throw part.error;
  return VirtualMachine.create(toVmInput(part.value));
}

async function problemOf(text: string, namespace?: string): Promise<AgentError> {
  try {
    await readOne(text, namespace);
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
  throw new Error('The manifest was accepted');
}

test('a manifest becomes the request of the API, quantities as written', async () => {
  const { metadata, spec } = await readOne(MANIFEST);
  assert.deepEqual([metadata?.namespace, metadata?.name], ['default', 'web']);
  const { cpu, memory } = spec?.template?.spec?.resources ?? {};
  assert.deepEqual([cpu, memory], ['2', '1.5Gi']);
  const [volume] = spec?.template?.spec?.volumes ?? [];
  assert.deepEqual(volume?.source?.source, { $case: 'file', value: { path: '/a.qcow2' } });
});

for (const [name, text] of [
  ['small', MANIFEST],
  ['full', FULL],
] as const) {
  test(`a ${name} manifest printed and read again is the same, also as JSON`, async () => {
    const vm = await readOne(text);
    assert.deepEqual(await readOne(stringify(vmDocument(vm))), vm);
    assert.deepEqual(await readOne(JSON.stringify(vmDocument(vm))), vm);
  });
}

test('what get prints, status and all, can be applied', async () => {
  const wanted = await readOne(FULL);
  const vm = VirtualMachine.create({
    ...wanted,
    status: { phase: 2, observedGeneration: 7n, statistics: { cpuTimeNs: 2n ** 60n } },
  });
  assert.deepEqual((await readOne(stringify(vmDocument(vm)))).spec, wanted.spec);
});

test('each wrong field is named as the manifest writes it, with the nearest known key', async () => {
  const wrong = MANIFEST.replace('memory: 1.5Gi', 'memroy: 1.5GB').replace('qcow2,', 'qcow3,');
  const { reason, violations } = await problemOf(wrong);
  assert.equal(reason, 'INVALID_SPEC');
  assert.deepEqual(
    Object.fromEntries(violations.map(({ field, description }) => [field, description])),
    {
      'spec.template.spec.resources.memory': 'is required',
      'spec.template.spec.resources.memroy': 'unknown key; did you mean memory?',
      'spec.template.spec.volumes[0].format': 'must be raw or qcow2',
    },
  );
});

test('kinds that are not served yet are refused by name', async () => {
  for (const kind of ['VMPool', 'VMNetwork', 'VMStorage', 'BackupJob', 'RestoreJob']) {
    const { reason, message } = await problemOf(MANIFEST.replace('VirtualMachine', kind));
    assert.equal(reason, 'NOT_SUPPORTED');
    assert.match(message, new RegExp(`kind is ${kind}, which nothing serves yet`));
  }
});

test('another kind, another version and no object are refused by field', async () => {
  for (const [text, expected] of [
    [MANIFEST.replace('VirtualMachine', 'Pod'), 'kind must be VirtualMachine, not "Pod"'],
    [MANIFEST.replace('kind: VirtualMachine', ''), 'kind is required; it must be VirtualMachine'],
    [MANIFEST.replace('v1alpha1', 'v2'), 'apiVersion must be novacron.io/v1alpha1, not'],
    ['- 1\n', '(top level) must be an object with apiVersion'],
    [MANIFEST.replace('{name: web}', '{}'), 'metadata.name is required'],
  ] as const) {
    assert.ok((await problemOf(text)).message.includes(expected), expected);
  }
});

test('--namespace fills in the namespace of a manifest and contradicts none', async () => {
  assert.equal((await readOne(MANIFEST, 'shop')).metadata?.namespace, 'shop');
  assert.equal((await readOne(FULL, 'shop')).metadata?.namespace, 'shop');
  const { message } = await problemOf(FULL, 'other');
  assert.match(message, /metadata\.namespace is "shop", but --namespace says other$/);
});

test('a list is read item by item', async () => {
  const items = [parse(MANIFEST), { kind: 'Pod' }];
  for (const list of [{ items }, { apiVersion: 'v1', kind: 'List', items }]) {
    const [first, second] = await read(stringify(list));
    assert.ok(first !== undefined && 'value' in first);
    assert.equal(first.value.name, 'web');
    assert.ok(second !== undefined && 'error' in second);
    assert.equal(second.where, 'standard input, item 2');
  }
});

test('a second manifest of the same VM is refused and names the first', async () => {
  const [first, second] = await read(`${MANIFEST}---${MANIFEST}`);
  assert.ok(first !== undefined && 'value' in first);
  assert.ok(second !== undefined && 'error' in second);
  assert.match(
    second.error.message,
    /VM default\/web, which standard input, document 1 is as well/,
  );
});

test('the manifests of --help and of docs/novactl.md are accepted', async () => {
  const io = new FakeCliIo();
  await runCli(['vm', 'apply', '--help'], io);
  const ofHelp = /^A manifest.*:\n((?: {2}.*\n)+)/m.exec(io.stdout.text)?.[1] ?? '';
  const page = readFileSync('docs/novactl.md', 'utf8');
  const ofPage = /```yaml\n(apiVersion: novacron\.io[^]*?)```/.exec(page)?.[1] ?? '';
  for (const text of [ofHelp.replaceAll(/^ {2}/gm, ''), ofPage]) {
    assert.equal((await readOne(text)).metadata?.name, 'web');
  }
});
