import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasReason } from '../../../../src/core/errors.ts';
import {
  parseCommandEnd,
  parseFreezeStatus,
  parseGuestMemory,
  parsePid,
} from '../../../../src/drivers/libvirt/guest-answers.ts';

const answer = (value: unknown): string => JSON.stringify({ return: value });

test('answers of the guest agent are read', () => {
  assert.equal(parseFreezeStatus(answer('frozen')), true);
  assert.equal(parseFreezeStatus(answer('thawed')), false);
  assert.equal(parsePid(answer({ pid: 4711 })), 4711);
  assert.equal(parseCommandEnd(answer({ exited: false })), undefined);
  const end = parseCommandEnd(
    answer({ exited: true, exitcode: 3, 'out-data': 'aGk=', 'err-truncated': true }),
  );
  assert.deepEqual(
    [end?.exitCode, end?.signal, String(end?.stdout), end?.isStdoutCut, end?.isStderrCut],
    [3, undefined, 'hi', false, true],
  );
  assert.equal(parseCommandEnd(answer({ exited: true, signal: 9 }))?.signal, 9);
});

test('what makes no sense is an error, whatever it is', () => {
  const bad = ['', '{', '[]', 'null', '{}', '{"error":{}}'];
  for (const text of [...bad, answer(42), answer(null), answer('soon'), answer([])]) {
    for (const parse of [parseFreezeStatus, parsePid, parseCommandEnd]) {
      assert.throws(
        () => parse(text),
        (error) => hasReason(error, 'GUEST_ANSWER_INVALID'),
        text,
      );
    }
  }
  for (const pid of [0, -7, 1.5, '1', 2 ** 60, null, undefined]) {
    assert.throws(
      () => parsePid(answer({ pid })),
      (error) => hasReason(error, 'GUEST_ANSWER_INVALID'),
    );
  }
  for (const end of [
    { exited: 'maybe' },
    { exited: true },
    { exited: true, exitcode: -1 },
    { exited: true, exitcode: 'seven' },
    { exited: true, signal: 1e9 },
    { exited: true, exitcode: 0, 'out-data': 7 },
    { exited: true, exitcode: 0, 'err-data': 'not base64!' },
  ]) {
    assert.throws(
      () => parseCommandEnd(answer(end)),
      (error) => hasReason(error, 'GUEST_ANSWER_INVALID'),
    );
  }
});

test('memory that a guest does not use is counted, and nonsense is not', () => {
  const info = answer({ size: 2 ** 27 });
  const blocks = answer([{ online: true }, { online: false }, { online: 'maybe' }]);
  assert.deepEqual(parseGuestMemory(info, blocks), {
    onlineBytes: 2 ** 27,
    offlineBytes: 2 ** 28,
  });
  for (const [size, list] of [
    [{ size: 0 }, []],
    [{ size: 2 ** 40 }, []],
    [{ size: 2 ** 27 }, {}],
    ['much', [{ online: true }]],
  ]) {
    assert.throws(
      () => parseGuestMemory(answer(size), answer(list)),
      (error) => hasReason(error, 'GUEST_ANSWER_INVALID'),
    );
  }
});
