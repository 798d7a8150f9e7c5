import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { readYaml, readYamlDocuments, toYaml } from '../../../src/core/yaml.ts';

/** Whole texts that some reader takes for something else, and signs that mean something at some place. */
const PIECES = [
  'no on off y Y n yes True NULL null ~ = << - + 1:30 190:20:30 2024-01-01 2024-01-01T10:00:00Z 1_000 0o7 017 089',
  '0x1f 0b1 1e3 1.5e3 1e+3 .5 1. -0 +1 .inf -.INF .NaN 1,000 :sym : # ! &a *a % @ ` | > " \' \\ [ }',
  '--- ... a Z / 1Gi 90s 5 é 中 😀 \u0000 \u001b \u007f \u0085 \u2028 \ufeff \ue000 \uffff',
]
  .flatMap((line) => line.split(' '))
  .concat('', ': ', ' #', '- ', '? ', ' ', '  ', '\t', '\n', '\r', '\n\n', '\u00a0', '\u2029');
const SIGNS = [
  ': ',
  ':',
  ' #',
  '- ',
  '!',
  '"',
  "'",
  ' ',
  '\t',
  '\n',
  '\r',
  '...',
  'a',
  '\u0085',
  '\u2028',
];
const TEXTS = [
  ...PIECES,
  ...SIGNS.flatMap((sign) => PIECES.flatMap((piece) => [sign + piece, piece + sign])),
  ...PIECES.flatMap((piece) => [`a${piece}b`, `a\n${piece}b`, `a ${piece}\n b\n`]),
];
const WRITTEN = TEXTS.map((text) => ({ text, [text]: [text] }));

function differing(read: unknown): readonly string[] {
  assert.ok(Array.isArray(read));
  return TEXTS.filter((_, index) => !isDeepStrictEqual(read[index], WRITTEN[index]));
}

/** What a script writes that has its input in `s`. */
function python(script: string, input: string): string {
  const program = `import json, sys, yaml\ns = sys.stdin.buffer.read().decode()\n${script}`;
  return execFileSync('/usr/bin/python3', ['-c', program], {
    input,
    maxBuffer: 2 ** 26,
  }).toString();
}

const hasPyYaml = spawnSync('/usr/bin/python3', ['-c', 'import yaml']).status === 0;
const skip = !hasPyYaml && 'python3-yaml is not installed';

test('text is the same text for us and for readers of YAML 1.1 and 1.2', () => {
  const text = toYaml(WRITTEN);
  assert.deepEqual(differing(readYaml(text)), []);
  assert.deepEqual(differing(parse(text, { version: '1.2' })), []);
  assert.deepEqual(differing(parse(text, { version: '1.1' })), []);
});

test('PyYAML reads what we print', { skip }, () => {
  const read = python('json.dump(yaml.load(s, yaml.CSafeLoader), sys.stdout)', toYaml(WRITTEN));
  assert.deepEqual(differing(JSON.parse(read)), []);
});

for (const style of [
  '',
  'default_flow_style=True',
  'version=(1, 1)',
  'width=20',
  "default_style='>'",
]) {
  test(`we read what PyYAML writes with ${style || 'its defaults'}`, { skip }, () => {
    const script = `yaml.dump(json.loads(s), sys.stdout, yaml.CSafeDumper, ${style})`;
    const read = readYaml(python(script, JSON.stringify(WRITTEN)));
    assert.deepEqual(differing(read), []);
  });
}

test('what people read stays bare', () => {
  const text = toYaml({
    apiVersion: 'novacron.io/v1alpha1',
    uid: '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11',
    memory: '1.5Gi',
    timeout: '0.5s',
    cpu: '2',
    userData: '#cloud-config\nhostname: web\n',
    message: 'The guest is off, as it was asked to be',
    count: 3,
    rate: 1e-7,
  });
  assert.equal(
    text,
    `apiVersion: novacron.io/v1alpha1
uid: 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
memory: 1.5Gi
timeout: 0.5s
cpu: "2"
userData: |
  #cloud-config
  hostname: web
message: The guest is off, as it was asked to be
count: 3
rate: 1.0e-7
`,
  );
});

test('a number is one only where its text is not lost by it', () => {
  const read = readYaml('[1001, 1.5, -3, 007, 1e3, 0x10, 1.50, 1_000, 123456789012345678901, -0]');
  const texts = ['007', '1e3', '0x10', '1.50', '1_000', '123456789012345678901', '-0'];
  assert.deepEqual(read, [1001, 1.5, -3, ...texts]);
  assert.deepEqual(readYaml('{1001: a, 1e3: b, 007: c}'), { 1001: 'a', '1e3': 'b', '007': 'c' });
});

test('several documents are read each by itself', () => {
  const [first, second, third] = readYamlDocuments('a: 1\n---\na: 1\na: 2\n---\nb: no\n');
  assert.deepEqual(first?.(), { a: 1 });
  assert.throws(() => second?.(), /Map keys must be unique/);
  assert.deepEqual(third?.(), { b: 'no' });
  assert.throws(() => readYaml('a: 1\n---\nb: 2\n'), /multiple documents/);
});
