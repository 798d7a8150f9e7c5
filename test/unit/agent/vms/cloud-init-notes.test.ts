import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootedNotes, userDataNotes } from '../../../../src/agent/vms/cloud-init-notes.ts';

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

test('what a guest reads at its first boot only is said, unless another one is asked for', () => {
  const field = (name: string) => ({ field: `spec.template.spec.${name}` });
  const booted = { run: { isOn: true, sinceMs: 1 } } as never;
  const fresh = { run: { isOn: false, end: { cause: 'never-started' } } } as never;
  assert.match(bootedNotes(booted, [field('userData')]).join(), /first boot only.*instanceId/);
  assert.match(bootedNotes(booted, [field('cloudInit.hostname')]).join(), /first boot only/);
  assert.match(bootedNotes(booted, [field('cloudInit')]).join(), /first boot only/);
  const anew = [field('userData'), field('cloudInit.instanceId')];
  assert.deepEqual(bootedNotes(booted, anew), []);
  assert.deepEqual(bootedNotes(booted, [field('resources.cpu')]), []);
  assert.deepEqual(bootedNotes(fresh, [field('userData')]), []);
});
