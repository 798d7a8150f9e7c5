import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doubtedBy, findBeyond, wordOfOrigin } from '../../../../src/agent/vms/moved-on.ts';
import type { Answer } from '../../../../src/agent/vms/vm-locator.ts';

/** Of the epoch of the copy that is asked about. */
const OWN = 3;

function answer(
  presence: Answer['presence'],
  isOwner: boolean,
  ownershipEpoch: number | undefined,
): Answer {
  const peer = { nodeName: 'c', locate: assert.fail, handOver: assert.fail };
  return { peer, presence, isOwner, isRunning: false, ownershipEpoch };
}

for (const [what, given, wanted] of [
  ['has a newer one', answer('held', true, 4), { beyond: true, doubted: true, word: 'took-back' }],
  ['has one as new', answer('held', true, 3), { beyond: false, doubted: true, word: 'gave-up' }],
  [
    'has an older one',
    answer('held', true, 2),
    { beyond: false, doubted: false, word: 'undecided' },
  ],
  ['gave it away', answer('absent', true, 3), { beyond: false, doubted: false, word: 'gave-up' }],
  [
    'gave a newer one away',
    answer('absent', true, 4),
    { beyond: false, doubted: true, word: 'took-back' },
  ],
  [
    'has forgotten it',
    answer('absent', false, 0),
    { beyond: false, doubted: false, word: 'forgotten' },
  ],
  [
    'awaits a newer one',
    answer('coming', false, 4),
    { beyond: false, doubted: true, word: 'took-back' },
  ],
  [
    'is silent',
    answer('unknown', false, undefined),
    { beyond: false, doubted: true, word: 'undecided' },
  ],
  [
    'is old, and gave it away',
    answer('absent', true, undefined),
    { beyond: false, doubted: false, word: 'gave-up' },
  ],
  [
    'is old, and has it',
    answer('held', true, undefined),
    { beyond: false, doubted: true, word: 'undecided' },
  ],
] as const) {
  test(`a node that ${what}`, () => {
    const found = {
      beyond: findBeyond([given], OWN) !== undefined,
      doubted: doubtedBy([given], OWN).length > 0,
      word: wordOfOrigin(given, OWN),
    };
    assert.deepEqual(found, wanted);
  });
}
