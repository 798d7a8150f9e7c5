import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCpuList, parseCpuList } from '../../../src/core/cpu-list.ts';

test('CPUs are read as the kernel writes them, each once and in order', () => {
  assert.deepEqual(parseCpuList('2-4,10'), [2, 3, 4, 10]);
  assert.deepEqual(parseCpuList('7, 0-1,1'), [0, 1, 7]);
  assert.deepEqual(parseCpuList(''), []);
});

test('what is no list of CPUs is none', () => {
  for (const text of ['a', '1-', '-1', '3-2', '1,,2', '4096', '0-99999', '1;2']) {
    assert.equal(parseCpuList(text), undefined, text);
  }
});

test('CPUs are written so that they are read again', () => {
  assert.equal(formatCpuList([4, 2, 3, 10]), '2-4,10');
  assert.equal(formatCpuList([]), '');
  for (const text of ['0', '0-1', '1,3,5-8'])
    assert.equal(formatCpuList(parseCpuList(text) ?? []), text);
});
