import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RUN_ENDS } from '../../../../src/agent/runs/run-ends.ts';
import { phaseOf } from '../../../../src/agent/vms/vm-phase.ts';
import { toRunState } from '../../../../src/drivers/libvirt/domain-states.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { vmContext } from '../vms/vm-context.ts';

/** What stands under a heading of docs/api.md, up to the next one. */
function textUnder(heading: string): string {
  const [, text = ''] = readFileSync('docs/api.md', 'utf8').split(`\n${heading}\n`);
  return text.split(/\n#+ /)[0] ?? '';
}

/** The rows of the tables under a heading, cell by cell. */
function rowsUnder(heading: string): readonly (readonly string[])[] {
  return textUnder(heading)
    .split('\n')
    .filter((line) => line.startsWith('|') && !line.startsWith('|--'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

test('docs/api.md has every cause for which a VM is off, and says which of them are failures', () => {
  const rows = rowsUnder('### Why a VM is what it is').filter((row) => row.length === 4);
  const documented = new Map(rows.slice(1).map(([reason, , failure]) => [reason, failure]));
  for (const copy of ['`StaleCopy`', '`StrayCopy`']) assert.ok(documented.delete(copy), copy);
  const wanted = Object.values(RUN_ENDS).map(({ reason, isFailure }) => [
    `\`${reason}\``,
    isFailure ? 'yes' : 'no',
  ]);
  assert.deepEqual(Object.fromEntries(documented), Object.fromEntries(wanted));
});

test('docs/api.md has every reason of a VM that is on', () => {
  const text = textUnder('### Why a VM is what it is');
  const vm = toHypervisorVm(newFakeVm(tinyVm()));
  for (let state = 0; state < 8; state += 1) {
    for (let number = 0; number < 16; number += 1) {
      const seen = toRunState(state, number);
      const found = { ...vm, state: seen.state, stateReason: seen.reason };
      const { reason } = phaseOf(found, vmContext());
      if (reason !== '') assert.ok(text.includes(`\`${reason}\``), reason);
    }
  }
});
