import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DefinitionValidator } from '../../../../src/agent/vms/definition-validator.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import {
  parseVirtualMachine,
  type WantedVm,
} from '../../../../src/core/resources/parse-virtual-machine.ts';
import { TCG } from '../../../fakes/fake-boot-probe.ts';
import { FakeBridges } from '../../../fakes/fake-bridges.ts';
import { FakeHookRunner } from '../../../fakes/fake-hook-runner.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never } from './one-node.ts';

const FOLDER = '/etc/novacron/hooks';
const LIFECYCLE = 'spec.template.spec.lifecycle';

function hookOf(...command: readonly string[]) {
  return { exec: { command } };
}

function wanted(lifecycle: object): WantedVm {
  const machine = { resources: { cpu: 1, memory: '64Mi' }, kernel: { path: '/boot/vmlinuz' } };
  const template = { spec: { ...machine, lifecycle } };
  return parseVirtualMachine({ metadata: { name: 'web' }, spec: { template } });
}

/** On its node one program may not be run. */
function newValidator() {
  const images = new FakeImages();
  images.add('/boot/vmlinuz');
  const hooks = new FakeHookRunner();
  hooks.setProblem(`${FOLDER}/gone`, 'it does not exist; put it there');
  const { host } = new FakeHypervisor();
  return new DefinitionValidator({
    host,
    images,
    bridges: new FakeBridges(),
    hooks,
    accelerator: TCG,
    minMemory: '64Mi',
    capacity: { 'hugepages-2Mi': 2 ** 30 },
    nameOf: () => undefined,
  });
}

async function fieldsOf(attempt: Promise<unknown>): Promise<readonly string[]> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) return [];
  assert.ok(error instanceof AgentError);
  assert.equal(error.reason, 'HOOK_NOT_ALLOWED', error.message);
  assert.match(
    error.message,
    /gone, which is not run on this node: it does not exist; put it there/,
  );
  return error.violations.map(({ field }) => field);
}

const gone = hookOf(`${FOLDER}/gone`);

test('every hook that the node would not run is refused by its field', async () => {
  const lifecycle = { preStart: gone, postStart: hookOf(`${FOLDER}/good`), preStop: gone };
  const fields = await fieldsOf(
    newValidator().validate(wanted(lifecycle), { isStarted: false }, never),
  );
  const expected = ['preStart', 'preStop'].map((name) => `${LIFECYCLE}.${name}.exec.command[0]`);
  assert.deepEqual(fields, expected);
});

test('a node that would not run any of them is none for a VM that arrives', async () => {
  const { spec } = wanted({ preStop: gone });
  const fields = await fieldsOf(newValidator().validateIncoming(tinyVm({ spec }), never));
  assert.deepEqual(fields, [`${LIFECYCLE}.preStop.exec.command[0]`]);
});

function start(lifecycle: object): Promise<void> {
  return newValidator().assertStartable(tinyVm({ spec: wanted(lifecycle).spec }), [], never);
}

test('only what is to run before it keeps a VM that is here from being started', async () => {
  assert.deepEqual(await fieldsOf(start({ postStart: gone, preStop: gone })), []);
  const fields = await fieldsOf(start({ preStart: gone }));
  assert.deepEqual(fields, [`${LIFECYCLE}.preStart.exec.command[0]`]);
});

for (const [what, lifecycle, words] of [
  [
    'a relative path',
    { preStart: hookOf('lease') },
    /must begin with the absolute path of a program/,
  ],
  ['no program', { preStart: hookOf() }, /must name a program/],
  ['a NUL', { preStop: hookOf('/a', 'b\0c') }, /without NUL/],
  ['a long argument', { preStop: hookOf('/a', 'x'.repeat(4097)) }, /at most 4096 bytes/],
  ['many arguments', { preStop: hookOf('/a', ...Array<string>(64).fill('b')) }, /at most 64/],
  ['no time', { preStop: { exec: { command: ['/a'], timeoutSeconds: 0 } } }, /must be 1 or more/],
  [
    'more than a day',
    { preStop: { exec: { command: ['/a'], timeoutSeconds: 86_401 } } },
    /at most 86400/,
  ],
] as const) {
  test(`a hook of ${what} is refused by the schema`, () => {
    assert.throws(() => wanted(lifecycle), words);
  });
}
