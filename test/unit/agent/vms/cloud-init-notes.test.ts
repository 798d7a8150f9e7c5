import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootedNotes, userDataNotes } from '../../../../src/agent/vms/cloud-init-notes.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
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
    '\n #Cloud-Config\nhostname: a\n',
    '',
  ]) {
    assert.equal(notesOf(text), '', text);
  }
  assert.deepEqual(userDataNotes(undefined), []);
});

for (const [text, note] of [
  ['packages: [nginx]\n', /begins with none of the words/],
  ['# cloud-config\npackages: []\n', /begins with none of the words/],
  ['#cloud-config\n- nginx\n', /is no map of keys/],
  [
    '#cloud-config\npackages: [nginx\n',
    /is no YAML at line \d+, column \d+, so cloud-init ignores it/,
  ],
] as const) {
  test(`user data such as ${JSON.stringify(text)} are said to be ignored`, () => {
    assert.match(notesOf(text), note);
  });
}

for (const secret of [
  'password: !s3cret',
  'password: *s3cret',
  'password: >s3cret',
  'listen: [::1]:s3cret\na: [',
]) {
  test(`nothing of user data such as ${secret} gets into what is said of them`, () => {
    assert.ok(!notesOf(`#cloud-config\n${secret}\n`).includes('s3cret'));
  });
}

/** Of a change of this field of a VM with this run, from one machine to another. */
function notesFor(run: unknown, name: string, before: object, after: object): string {
  const { spec } = tinyVm();
  const specWith = (machine: object) => ({
    ...spec,
    template: { ...spec.template, spec: { ...spec.template.spec, ...machine } },
  });
  const vm = { definition: { spec: specWith(before) }, run } as unknown as Vm;
  const changes = [{ field: `spec.template.spec.${name}` }];
  return bootedNotes(vm, specWith(after), changes).join();
}

test('what a change does in a guest that has booted is said', () => {
  const [booted, fresh] = [
    { isOn: true, sinceMs: 1, end: { cause: 'never-started' } },
    { isOn: false, end: { cause: 'never-started' } },
  ];
  const [none, told, anew] = [{}, { cloudInit: {} }, { cloudInit: { instanceId: '2' } }];
  for (const name of ['userData', 'cloudInit.hostname', 'cloudInit']) {
    for (const run of [booted, undefined]) {
      assert.match(notesFor(run, name, told, told), /at a first boot only.*cloudInit\.instanceId/);
      assert.match(notesFor(run, name, none, told), /the next start is a first boot/);
    }
    assert.equal(notesFor(booted, name, told, anew), '');
    assert.equal(notesFor(booted, name, told, none), '');
    assert.equal(notesFor(fresh, name, told, told), '');
    assert.equal(notesFor(fresh, name, none, told), '');
  }
  assert.equal(notesFor(booted, 'resources.cpu', told, told), '');
});
