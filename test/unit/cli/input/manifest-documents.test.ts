import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitDocuments } from '../../../../src/cli/input/manifest-documents.ts';

function split(text: string): readonly string[] {
  return splitDocuments(text, 'vm.yaml').map((part) =>
    'error' in part ? `${part.where}: ${part.error.message}` : JSON.stringify(part.value),
  );
}

test('several documents are several parts, and an empty one is none', () => {
  assert.deepEqual(split('---\na: 1\n---\nb: 2\n---\n'), ['{"a":1}', '{"b":2}']);
});

test('JSON is read as well', () => {
  assert.deepEqual(split('{"a": [1, "2"]}'), ['{"a":[1,"2"]}']);
});

test('a document that is no YAML is named by its number, and the others are read', () => {
  const [first, second, third] = split('a: 1\n---\na: 1\na: 2\n---\nc: 3\n');
  assert.equal(first, '{"a":1}');
  assert.match(second ?? '', /^vm\.yaml, document 2: It is no YAML: Map keys must be unique/);
  assert.equal(third, '{"c":3}');
});

test('a text without a document says so', () => {
  for (const text of ['', '# nothing\n', '---\n---\n']) {
    assert.deepEqual(split(text), ['vm.yaml: There is no manifest in it'], text);
  }
});

test('aliases that unfold without end are refused', () => {
  const levels = Array.from({ length: 12 }, (_, level) => {
    const item = level === 0 ? 'x' : `*l${level - 1}`;
    return `l${level}: &l${level} [${Array.from({ length: 10 }, () => item).join(', ')}]`;
  });
  assert.match(split(levels.join('\n'))[0] ?? '', /It is no YAML: Excessive alias count/);
});
