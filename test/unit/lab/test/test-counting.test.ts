import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countNativeTests } from '../../../../lab/test/native-tests.ts';
import { findForbiddenSkips, parseAllowedSkips } from '../../../../lab/test/skips.ts';

const SKIPS = [
  { kind: 'skip', file: 'x.test.ts', test: 'x', reason: 'no /dev/kvm: cannot open' },
  { kind: 'skip', file: 'y.test.ts', test: 'y', reason: '' },
] as const;

test('a skip is allowed by the beginning of its reason', () => {
  const allowed = parseAllowedSkips('# comment\n\nno /dev/kvm # in most VMs\n');
  assert.deepEqual(findForbiddenSkips(SKIPS, allowed, false), [SKIPS[1]]);
});

test('on CI no skip is allowed', () => {
  assert.deepEqual(findForbiddenSkips(SKIPS, ['no /dev/kvm'], true), SKIPS);
});

test('the last line of the native tests counts them', () => {
  const output = 'FAIL x\n  because\n42 passed, 1 failed\n';
  assert.deepEqual(countNativeTests(output, 1), { passed: 42, failed: 1 });
});

test('a native run that fails without counting counts as one failure', () => {
  assert.deepEqual(countNativeTests('CMake Error', 1), { passed: 0, failed: 1 });
});
