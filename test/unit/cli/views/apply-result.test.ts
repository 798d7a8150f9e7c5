import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  applyDocument,
  applyText,
  readApplyResponse,
} from '../../../../src/cli/views/apply-result.ts';
import { ApplyOutcome, ChangeEffect, VirtualMachine } from '../../../../src/client/api.ts';

const NOW = ChangeEffect.CHANGE_EFFECT_NOW;
const NEXT_START = ChangeEffect.CHANGE_EFFECT_NEXT_START;
const VM = VirtualMachine.create({ metadata: { name: 'web' }, status: { phase: 2 } });

const CHANGED = readApplyResponse({
  virtualMachine: VM,
  outcome: ApplyOutcome.APPLY_OUTCOME_CHANGED,
  changes: [
    { field: 'metadata.labels.tier', before: '', after: '"front"', effect: NOW },
    {
      field: 'spec.template.spec.resources.memory',
      before: '"1Gi"',
      after: '"2Gi"',
      effect: NEXT_START,
    },
    { field: 'spec.running', before: 'false', after: '', effect: NOW },
  ],
  warnings: [],
  operation: undefined,
});

test('a change has a line for each field, before and after, and when it is in force', () => {
  assert.equal(
    applyText(CHANGED, { dryRun: false }),
    `VM default/web changed
  metadata.labels.tier: not set -> front (now)
  spec.template.spec.resources.memory: 1Gi -> 2Gi (at the next start)
  spec.running: false -> not set (now)
`,
  );
});

test('a dry run says the same of what would be', () => {
  assert.match(
    applyText(CHANGED, { dryRun: true }),
    /^VM default\/web would be changed\n {2}metadata/,
  );
  const created = { ...CHANGED, outcome: 'created', changes: [] } as const;
  assert.equal(applyText(created, { dryRun: true }), 'VM default/web would be created\n');
  assert.equal(applyText(created, { dryRun: false }), 'VM default/web created (Running)\n');
});

test('for programs a field that is not set has no value', () => {
  const { vm, outcome, changes } = applyDocument(CHANGED);
  assert.deepEqual([vm, outcome], ['default/web', 'changed']);
  assert.deepEqual((changes as readonly unknown[])[0], {
    field: 'metadata.labels.tier',
    after: 'front',
    effect: 'now',
  });
});
