import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorReport } from '../../../../src/cli/errors/error-report.ts';
import { hintFor } from '../../../../src/cli/errors/hints.ts';
import { buildWholeProgram } from '../../../../src/cli/program.ts';
import { AgentError, isReason, REASONS, type Reason } from '../../../../src/core/errors.ts';
import { FakeCliIo } from '../../../fakes/fake-cli-io.ts';

const ofBlocker = (reason: Reason) =>
  hintFor(new AgentError(reason, '', { metadata: { node: 'node-b' } })) ?? '';

test('every reason has a hint of one line without a full stop', () => {
  for (const reason of Object.keys(REASONS).filter(isReason)) {
    const hint = hintFor(new AgentError(reason, '')) ?? '';
    assert.match(hint, /^[A-Z][^\n]*[^.\n]$/, reason);
  }
});

test('an error says what, why and what to do', () => {
  const error = new AgentError('VM_NOT_RUNNING', 'Cannot migrate VM web: it is off');
  assert.equal(
    errorReport(error),
    'Error: Cannot migrate VM web: it is off (VM_NOT_RUNNING)\n' +
      'What to do: Start the VM first: novactl vm start NAME\n',
  );
});

test('violations that the message does not tell are listed', () => {
  const error = new AgentError('INVALID_SPEC', 'The spec cannot work', {
    violations: [{ field: 'spec.cpu.vcpus', description: 'must be at most 8' }],
    retryAfterMs: 2_000,
  });
  const text = errorReport(error);
  assert.match(text, /^ {2}spec\.cpu\.vcpus: must be at most 8$/m);
  assert.match(text, /^Try again after 2s$/m);
});

test('a violation that was cut is not told again', () => {
  const error = new AgentError(
    'MIGRATION_BLOCKED',
    'Cannot migrate VM web: volume root is not there',
    {
      violations: [{ field: 'spec.volumes[0]', description: 'volume root is n…' }],
    },
  );
  assert.doesNotMatch(errorReport(error), /spec\.volumes/);
});

test('what is said of another node is to be done there', () => {
  const error = new AgentError('NODE_CORDONED', '', { metadata: { node: 'b' } });
  assert.match(hintFor(error) ?? '', /novactl --node b node uncordon$/);
});

test('of what stands in the way of a migration, the hint is about the nodes of the migration, and not about making a VM', () => {
  assert.match(ofBlocker('INVALID_SPEC'), /That node refuses.*vm edit NAME.*choose another node/);
  assert.match(ofBlocker('NOT_SUPPORTED'), /upgrade it, choose another node/);
  assert.match(ofBlocker('VM_NOT_OWNED'), /go to the node that is named above as its owner/);
  assert.match(ofBlocker('IMAGE_NOT_FOUND'), /Mount the storage.*on that node/);
  const lost = new AgentError('VM_NOT_FOUND', '', { metadata: { migrationId: 'm' } });
  assert.match(hintFor(lost) ?? '', /on both nodes.*vm apply -f FILE/);
  for (const reason of ['INVALID_SPEC', 'NOT_SUPPORTED'] as const) {
    assert.doesNotMatch(ofBlocker(reason), /dry-run/);
  }
});

test('an unreachable agent is told from an unreachable peer', () => {
  assert.match(
    hintFor(new AgentError('AGENT_UNREACHABLE', '')) ?? '',
    /systemctl status novacron-agent.*kubectl/,
  );
  assert.match(hintFor(new AgentError('PEER_UNREACHABLE', '')) ?? '', /other node/);
});

test('a reason of a newer agent is shown as it came', () => {
  const metadata = { grpcStatus: 'ABORTED', reason: 'DISK_BUSY' };
  assert.match(
    errorReport(new AgentError('VM_BUSY', 'The disk is busy', { metadata })),
    /DISK_BUSY/,
  );
});

test('of several, the one that it is about is named', () => {
  const error = new AgentError('VM_BUSY', 'VM web is being started');
  assert.match(
    errorReport(error, 'web.yaml, document 2'),
    /^Error in web\.yaml, document 2: VM web is being started \(VM_BUSY\)\n/,
  );
});

test('every command that a hint names exists', async () => {
  const program = await buildWholeProgram(new FakeCliIo());
  for (const reason of Object.keys(REASONS).filter(isReason)) {
    const hint = hintFor(new AgentError(reason, '')) ?? '';
    for (const [, words = ''] of hint.matchAll(/novactl ([a-z]+(?: [a-z]+(?:-[a-z]+)*)?)/g)) {
      const [group = '', verb = ''] = words.split(' ');
      const command = program.commands.find((each) => each.name() === group);
      assert.ok(command !== undefined, `${reason}: ${words}`);
      const verbs = command.commands.map((each) => each.name());
      assert.ok(verbs.length === 0 || verbs.includes(verb), `${reason}: ${words}`);
    }
  }
});
