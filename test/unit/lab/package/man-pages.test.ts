import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tryRun } from '../../../../lab/core/run-command.ts';
import { renderManPages } from '../../../../lab/package/man-pages.ts';
import { roffOfMarkdown } from '../../../../lab/package/roff.ts';

const never = new AbortController().signal;
const pages = await renderManPages('1.2.3');
/** Unknown macros and escapes, what lacks its end: not how lines break. */
const WARNINGS = ['mac', 'syntax', 'escape', 'delim', 'font', 'missing'].map((name) => `-w${name}`);

for (const [name, page] of Object.entries(pages)) {
  test(`groff finds nothing wrong with ${name}, and its first lines name it`, async () => {
    const [, title, section] = /^(.*)\.(\d)$/.exec(name) ?? [];
    assert.ok(page.startsWith(`.TH ${title} ${section} "" "novacron\\-agent 1.2.3"`));
    const command = ['groff', '-man', ...WARNINGS, '-z', '-Tutf8', '-Kutf8'];
    const { code, stderr } = await tryRun(command, { input: page }, never);
    assert.deepEqual([code, stderr], [0, '']);
  });
}

test('novactl(1) has every command that does something, with its options and examples', () => {
  const page = pages['novactl.1'] ?? '';
  for (const command of ['vm apply', 'migrate', 'migration settle', 'pki issue', 'doctor']) {
    assert.ok(page.includes(`\n.SS novactl ${command}\n`), command);
  }
  assert.ok(!page.includes('__complete'));
  assert.match(page, /\\fB\\-\\-trust\\-shared <volume>\\fR/);
  assert.match(page, /novactl pki issue operator jane/);
});

test('novacron-agent.yaml(5) has the keys with their defaults', () => {
  const page = pages['novacron-agent.yaml.5'] ?? '';
  assert.match(page, /\.TP\n\\fBmigration\.lanes\\fR\n.* By default \\fB2\\fR\./);
});

test('what begins a request of roff elsewhere is text in a page', () => {
  assert.equal(roffOfMarkdown(".TH `a-b` [c](d.md)\n'x \\"), "\\&.TH \\fBa\\-b\\fR c\n\\&'x \\e");
});
