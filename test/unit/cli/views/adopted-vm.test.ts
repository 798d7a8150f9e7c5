import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toVirtualMachine } from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import { adoptedText, plannedText } from '../../../../src/cli/views/adopted-vm.ts';
import { vmDescription } from '../../../../src/cli/views/vm-description.ts';
import { vmDocument } from '../../../../src/cli/views/vm-view.ts';
import { makeVm } from '../../../fakes/fake-vm-service.ts';

function documentOf(kept: readonly string[]) {
  return vmDocument(toVirtualMachine(makeVm('web', { kept })));
}

test('what is kept is told after the adoption, and by describe', () => {
  const vm = documentOf(['graphics spice', 'sound ich9']);
  assert.equal(
    adoptedText(vm),
    `VM default/web adopted (Running)
Kept as it is, as no manifest can say it:
  graphics spice
  sound ich9
`,
  );
  const described = vmDescription({ vm, events: [], operations: [], nowMs: Date.now() });
  assert.match(
    described,
    /Kept as it is, beside its manifest:\n {2}graphics spice\n {2}sound ich9\n/,
  );
});

test('nothing is said of what is kept where that is nothing', () => {
  assert.equal(adoptedText(documentOf([])), 'VM default/web adopted (Running)\n');
});

test('a plan has the manifest and no status, and no control characters of others', async () => {
  const text = await plannedText(documentOf(['title \u001b[2J']));
  assert.match(text, /^VM default\/web could be adopted, with this manifest:\n\napiVersion: /);
  assert.match(text, /\n {2}name: web\n/);
  assert.ok(!text.includes('status:'));
  assert.ok(!text.includes('\u001b'));
});
