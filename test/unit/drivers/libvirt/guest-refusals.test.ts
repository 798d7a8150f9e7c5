import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hintFor } from '../../../../src/cli/errors/hints.ts';
import { AgentError, type Reason } from '../../../../src/core/errors.ts';
import {
  describeFailure,
  LibvirtError,
  toAgentError,
} from '../../../../src/drivers/libvirt/errors.ts';

/** In the words of libvirt 9.0, as found there. */
const SAID: readonly (readonly [code: number, words: string, reason: Reason])[] = [
  [
    86,
    'Guest agent is not responding: QEMU guest agent is not connected',
    'GUEST_AGENT_NOT_CONNECTED',
  ],
  [74, 'argument unsupported: QEMU guest agent is not configured', 'GUEST_AGENT_NOT_CONNECTED'],
  [86, 'Guest agent is not responding: Guest agent not available for now', 'GUEST_AGENT_TIMEOUT'],
  [
    86,
    'Guest agent is not responding: Guest agent disappeared while executing command',
    'GUEST_AGENT_TIMEOUT',
  ],
  [
    86,
    'Guest agent is not responding: QEMU guest agent is not available due to an error',
    'GUEST_AGENT_NOT_CONNECTED',
  ],
  [
    38,
    'No complete agent response found in 10485760 bytes: Numerical result out of range',
    'GUEST_ANSWER_INVALID',
  ],
  [97, 'guest agent replied with wrong id to guest-sync command: …', 'GUEST_ANSWER_INVALID'],
  [
    1,
    "internal error: unable to execute QEMU agent command 'guest-exec': The command guest-exec has been disabled for this instance",
    'GUEST_AGENT_REFUSED',
  ],
  [
    1,
    "internal error: unable to execute QEMU agent command 'guest-set-user-password': child process has failed to set user password",
    'GUEST_AGENT_REFUSED',
  ],
  [1, "internal error: 'offset' missing in reply of guest-get-timezone", 'GUEST_ANSWER_INVALID'],
  [1, 'internal error: Malformed guest-get-fsinfo data array', 'GUEST_ANSWER_INVALID'],
  [112, 'guest agent command timed out: …', 'GUEST_AGENT_TIMEOUT'],
  [113, 'guest agent command failed: …', 'GUEST_AGENT_REFUSED'],
  [68, 'Timed out during operation: cannot acquire state change lock', 'VM_BUSY'],
  [55, 'Requested operation is not valid: domain is not running', 'VM_NOT_RUNNING'],
  [42, 'Domain not found: no domain with matching uuid', 'VM_NOT_FOUND'],
];

function errorOf(code: number, words: string, operation = 'setGuestPassword') {
  const failure = describeFailure(new LibvirtError(code, words), true);
  return toAgentError(failure, { operation, action: 'set it', metadata: {} });
}

for (const [code, words, reason] of SAID) {
  test(`${words} is ${reason}`, () => {
    const error = errorOf(code, words);
    assert.equal(error.reason, reason);
    assert.match(error.message, /^Cannot set it: /);
    assert.notEqual(hintFor(new AgentError(reason, '')), undefined);
  });
}

test('the words of a guest are told, cleaned and cut', () => {
  const evil = `\u001b[31m${'x'.repeat(5_000)}`;
  const quoted = `internal error: unable to execute QEMU agent command 'a': Guest agent command failed, error was '${evil}'`;
  for (const words of [
    `internal error: unable to execute QEMU agent command 'a': ${evil}`,
    quoted,
  ]) {
    const { message } = errorOf(1, words);
    assert.match(message, /^Cannot set it: the guest agent says: \uFFFD\[31mx+…$/);
    assert.ok(message.length < 320);
  }
});

test('what has nothing to do with guests is as it was', () => {
  assert.equal(errorOf(1, 'internal error: missing backend', 'list').reason, 'HYPERVISOR_FAILURE');
});
