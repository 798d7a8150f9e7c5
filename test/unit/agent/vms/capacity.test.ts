import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CapacityLedger } from '../../../../src/agent/vms/capacity.ts';

const GIB = 1024 ** 3;

function reservation(vmUid: string, memoryBytes: number) {
  return { vmUid, namespace: 'default', name: vmUid, memoryBytes };
}

test('memory is never promised twice', () => {
  const ledger = new CapacityLedger({ cpus: 4, memoryBytes: 4 * GIB });
  ledger.reserve(reservation('one', 3 * GIB), []);
  assert.throws(() => ledger.reserve(reservation('two', 2 * GIB), []), {
    reason: 'NODE_CAPACITY_EXCEEDED',
  });
  ledger.release('one');
  ledger.reserve(reservation('two', 2 * GIB), []);
});

test('reserving again for a VM replaces what was reserved for it', () => {
  const ledger = new CapacityLedger({ cpus: 4, memoryBytes: 4 * GIB });
  ledger.reserve(reservation('one', 3 * GIB), []);
  ledger.reserve(reservation('one', 4 * GIB), []);
  assert.equal(ledger.allocatedBytes([]), 4 * GIB);
});

test('a refusal says how much is left and names the field', () => {
  const ledger = new CapacityLedger({ cpus: 4, memoryBytes: GIB });
  assert.throws(() => ledger.reserve(reservation('big', 2 * GIB), []), {
    message: /1024 MiB left of 1024 MiB/,
    violations: [
      {
        field: 'spec.memory.size_bytes',
        description: `at most ${GIB} bytes are left on this node`,
      },
    ],
  });
});

test('asking whether there is room sets nothing aside and takes nothing away', () => {
  const ledger = new CapacityLedger({ cpus: 4, memoryBytes: 4 * GIB });
  ledger.assertRoom(reservation('one', 3 * GIB), []);
  assert.equal(ledger.allocatedBytes([]), 0);
  ledger.reserve(reservation('one', 3 * GIB), []);
  ledger.assertRoom(reservation('one', 4 * GIB), []);
  assert.equal(ledger.allocatedBytes([]), 3 * GIB);
});

test('what was promised is kept even if there is no room for it', () => {
  const ledger = new CapacityLedger({ cpus: 4, memoryBytes: GIB });
  ledger.keep(reservation('one', 2 * GIB));
  assert.equal(ledger.allocatedBytes([]), 2 * GIB);
});
