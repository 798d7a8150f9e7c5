import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootedNotes, userDataNotes } from '../../../../src/agent/vms/cloud-init-notes.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import type { VmSpec } from '../../../../src/core/resources/virtual-machine.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const notesOf = (text: string) => userDataNotes(Buffer.from(text)).join();

test('user data that cloud-init understands need no word', () => {
  for (const text of [
    '#cloud-config\npackages: [nginx]\n',
    '#cloud-config',
    '#cloud-config\r\nhostname: a\r\n',
    '#!/bin/sh\necho: [not yaml\n',
    'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n',
    '## template: jinja\n#cloud-config\nhostname: {{ v1.local_hostname }}\n',
    '#include\nhttps://example.org/x\n',
    '',
  ]) {
    assert.equal(notesOf(text), '', text);
  }
  assert.deepEqual(userDataNotes(undefined), []);
});

for (const [text, note] of [
  ['packages: [nginx]\n', /begins with none of the words/],
  ['# cloud-config\npackages: []\n', /begins with none of the words/],
  ['\n#cloud-config\n', /begins with none of the words/],
  ['#cloud-config\n- nginx\n', /is no map of keys/],
  ['#cloud-config\npackages: [nginx\n', /is no YAML, so cloud-init ignores it: .+/],
] as const) {
  test(`user data such as ${JSON.stringify(text)} are said to be ignored`, () => {
    assert.match(notesOf(text), note);
  });
}

/** Of a change of this field of a VM with this run, and with the id of the instance as it then is. */
function notesFor(run: unknown, name: string, instanceId?: string): string {
  const { spec } = tinyVm();
  const machine = { ...spec.template.spec, cloudInit: { instanceId } };
  const wanted = { ...spec, template: { ...spec.template, spec: machine } } as VmSpec;
  const vm = { definition: { spec }, run } as unknown as Vm;
  return bootedNotes(vm, wanted, [{ field: `spec.template.spec.${name}` }]).join();
}

test('what a guest reads at its first boot only is said, unless another one is asked for', () => {
  const booted = { isOn: true, sinceMs: 1, end: { cause: 'never-started' } };
  for (const name of ['userData', 'cloudInit.hostname', 'cloudInit']) {
    assert.match(notesFor(booted, name), /first boot only.*cloudInit\.instanceId/);
    assert.match(notesFor(undefined, name), /first boot only/);
    assert.equal(notesFor(booted, name, '2'), '');
    assert.equal(notesFor({ isOn: false, end: { cause: 'never-started' } }, name), '');
  }
  assert.equal(notesFor(booted, 'resources.cpu'), '');
});
