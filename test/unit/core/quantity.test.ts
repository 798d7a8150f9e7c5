import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatBytesQuantity,
  formatMilliCpus,
  parseBitRate,
  parseBytes,
  parseMilliCpus,
  similarBitRate,
  similarBytes,
} from '../../../src/core/quantity.ts';

test('bytes are read in every form that Kubernetes writes', () => {
  const cases = {
    '0': 0n,
    '1048576': 2n ** 20n,
    '512Mi': 512n * 2n ** 20n,
    '1.5Gi': 3n * 2n ** 29n,
    '1G': 10n ** 9n,
    '1k': 1000n,
    '129e6': 129_000_000n,
    '2E3': 2000n,
    '3E': 3n * 10n ** 18n,
    '1Ei': 2n ** 60n,
    '+4Ki': 4096n,
    '5.': 5n,
  };
  for (const [text, bytes] of Object.entries(cases)) assert.equal(parseBytes(text), bytes, text);
});

test('what is no quantity is refused', () => {
  for (const text of [
    '',
    ' 1',
    '1 Gi',
    '-1',
    '1K',
    '1gi',
    '1Gib',
    'Gi',
    '1e',
    '1e999',
    '0x10',
    '1,5',
    '١',
  ]) {
    assert.equal(parseBytes(text), undefined, text);
  }
});

test('a part of a byte is rounded up', () => {
  assert.equal(parseBytes('1500m'), 2n);
  assert.equal(parseBytes('0.1Ki'), 103n);
});

test('CPUs are counted in thousandths, rounded up', () => {
  assert.equal(parseMilliCpus('4'), 4000);
  assert.equal(parseMilliCpus('1.5'), 1500);
  assert.equal(parseMilliCpus('1500m'), 1500);
  assert.equal(parseMilliCpus('0.0001'), 1);
  assert.equal(parseMilliCpus('9999999999999999'), undefined);
});

test('bit rates are read in bits a second', () => {
  assert.equal(parseBitRate('1Gbps'), 1e9);
  assert.equal(parseBitRate('2.5Gbps'), 2.5e9);
  assert.equal(parseBitRate('250Mbps'), 250e6);
  assert.equal(parseBitRate('9600bps'), 9600);
  for (const text of ['1G', '1Gib', '1gbps', 'bps', '-1Mbps']) {
    assert.equal(parseBitRate(text), undefined, text);
  }
});

test('the shortest exact form is written', () => {
  assert.equal(formatBytesQuantity(3n * 2n ** 29n), '1536Mi');
  assert.equal(formatBytesQuantity(1000n), '1000');
  assert.equal(formatBytesQuantity(0n), '0');
  assert.equal(formatMilliCpus(2000), '2');
  assert.equal(formatMilliCpus(250), '250m');
});

test('what was meant by something similar is said, if that is one', () => {
  for (const [text, meant] of [
    ['512MB', '512M or 512Mi'],
    ['512 Mi', '512Mi'],
    ['512MiB', '512Mi'],
    ['1,5gi', '1.5Gi'],
    ['1K', '1k or 1Ki'],
    ['4096 bytes', '4096'],
    ['99999999999999999999', undefined],
    ['-1Gi', undefined],
    ['0x10', undefined],
  ] as const) {
    assert.equal(similarBytes(text), meant, text);
  }
  for (const [text, meant] of [
    ['1G', '1Gbps'],
    ['1gbps', '1Gbps'],
    ['1,5 Gbit/s', '1.5Gbps'],
    ['1000', '1000bps'],
    // Eight times as much, or a slip of the finger.
    ['100MB/s', undefined],
  ] as const) {
    assert.equal(similarBitRate(text), meant, text);
  }
});
