import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasReason } from '../../../../src/core/errors.ts';
import { withMaskedFields } from '../../../../src/core/resources/field-mask.ts';
import { virtualMachine } from '../../../../src/core/resources/virtual-machine.ts';

const current = {
  metadata: { name: 'web', labels: { app: 'web', tier: 'front' } },
  spec: { running: true, template: { spec: { resources: { cpu: '1', memory: '1Gi' } } } },
};

test('only the fields of the mask are taken', () => {
  const wanted = {
    metadata: { name: 'other', labels: { app: 'db' } },
    spec: { running: false, template: { spec: { resources: { cpu: '9', memory: '2Gi' } } } },
  };
  const mask = ['spec.template.spec.resources.memory', 'metadata.labels'];
  assert.deepEqual(withMaskedFields(current, wanted, mask, virtualMachine), {
    metadata: { name: 'web', labels: { app: 'db' } },
    spec: { running: true, template: { spec: { resources: { cpu: '1', memory: '2Gi' } } } },
  });
});

test('a field of the mask that is not given is removed', () => {
  const changed = withMaskedFields(
    current,
    { metadata: {} },
    ['metadata.labels.tier'],
    virtualMachine,
  );
  assert.deepEqual(changed['metadata'], { name: 'web', labels: { app: 'web' } });
});

test('a path may have the names of the proto, but keys of a map stay as they are', () => {
  const wanted = {
    metadata: { labels: { my_key: 'a' } },
    spec: { template: { spec: { userData: 'text' } } },
  };
  const mask = ['spec.template.spec.user_data', 'metadata.labels.my_key'];
  assert.deepEqual(withMaskedFields({}, wanted, mask, virtualMachine), wanted);
});

test('a path that no manifest has is refused', () => {
  for (const path of [
    '',
    'spec.powerState',
    'spec.template.spec.volumes.0',
    'metadata.name.x',
    'spec.',
  ]) {
    assert.throws(
      () => withMaskedFields(current, {}, [path], virtualMachine),
      (error) => hasReason(error, 'INVALID_REQUEST'),
      path,
    );
  }
});
