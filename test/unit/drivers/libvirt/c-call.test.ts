import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Argument,
  encodeCall,
  type Out,
  parsePrototype,
  readOutputs,
  toNumber,
} from '../../../../src/drivers/libvirt/c-call.ts';

test('a prototype is read as it stands in C', () => {
  assert.deepEqual(
    parsePrototype(
      'OwnedText f(void *dom, const char *xml, unsigned long long much, _Out_ void **list, _Out_ int *count)',
    ),
    {
      name: 'f',
      result: 'owned-text',
      parameters: [
        { kind: 'value', type: 'pointer' },
        { kind: 'text', type: 'pointer' },
        { kind: 'value', type: 'u64' },
        { kind: 'out', type: 'pointer' },
        { kind: 'out', type: 'i32' },
      ],
    },
  );
  assert.deepEqual(parsePrototype('unsigned int f()'), {
    name: 'f',
    result: 'u32',
    parameters: [],
  });
});

for (const prototype of [
  'double f(void *dom)',
  'int f(float weight)',
  'int f(int a, int b, int c, int d, int e, int f, int g, int h, int i)',
  'f',
]) {
  test(`${prototype} cannot be called like this`, () => {
    assert.throws(() => parsePrototype(prototype), /Not a |Too many/);
  });
}

test('what pointers lead to goes behind the arguments, and what C writes there comes back', () => {
  const prototype = parsePrototype(
    'int f(void *dom, const char *name, _Out_ unsigned long *size, int flags, void *memory)',
  );
  const size: Out<number> = [null];
  const given = new BigUint64Array([5n, 0n]);
  const values: Argument[] = [7n, 'grün', size, -1, given];
  const call = encodeCall(99n, prototype, values);
  const word = (index: number): bigint => call.readBigUInt64LE(index * 8);
  assert.deepEqual([word(0), word(1)], [99n, 5n]);
  const at = [2, 4, 6, 8, 10].map((index) => ({ kind: word(index), value: word(index + 1) }));
  assert.deepEqual(at[0], { kind: 0n, value: 7n });
  assert.deepEqual(at[3], { kind: 0n, value: 2n ** 64n - 1n });
  assert.deepEqual(
    [1, 2, 4].map((index) => at[index]?.kind),
    [1n, 1n, 1n],
  );
  const [name, written, memory] = [1, 2, 4].map((index) => Number(at[index]?.value));
  assert.equal(call.toString('utf8', name, (name ?? 0) + 6), 'grün\0');
  assert.equal(call.readBigUInt64LE(memory), 5n);
  call.writeBigUInt64LE(4096n, written);
  call.writeBigUInt64LE(6n, (memory ?? 0) + 8);
  readOutputs(call, prototype, values);
  assert.deepEqual(size, [4096]);
  assert.deepEqual(given, new BigUint64Array([5n, 6n]));
});

test('NULL is null, for a text too', () => {
  const prototype = parsePrototype('void *f(const char *name, void *opaque)');
  const call = encodeCall(1n, prototype, [null, null]);
  assert.equal(call.readBigUInt64LE(3 * 8), 0n);
  assert.equal(call.readBigUInt64LE(5 * 8), 0n);
  assert.throws(() => encodeCall(1n, prototype, [null]), /wrong number of arguments/);
  assert.equal(toNumber(0n, 'pointer'), null);
});

test('only as much of a word counts as the type has', () => {
  assert.equal(toNumber(0xdead_beef_ffff_fffen, 'i32'), -2);
  assert.equal(toNumber(0xdead_beef_ffff_fffen, 'u32'), 4_294_967_294);
  assert.equal(toNumber(2n ** 40n, 'u64'), 2 ** 40);
  assert.equal(toNumber(2n ** 63n, 'pointer'), 2n ** 63n);
});
