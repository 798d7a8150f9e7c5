import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endManifestRun, runManifests } from '../../../../src/cli/commands/vm/manifest-run.ts';
import type { ManifestPart } from '../../../../src/cli/input/manifest-files.ts';
import { Interrupted } from '../../../../src/cli/process/exit-codes.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { FakeCliIo } from '../../../fakes/fake-cli-io.ts';

const PARTS: readonly ManifestPart<string>[] = ['a', 'b', 'c'].map((value, index) => ({
  where: `vms.yaml, document ${index + 1}`,
  value,
}));

/** Fails at the second part. */
async function run(failure: Error) {
  const io = new FakeCliIo();
  const ends = await runManifests(io, PARTS, async (name) => {
    if (name === 'b') throw failure;
    return { outcome: 'created' };
  });
  let code: number | undefined;
  try {
    endManifestRun(io, ends);
  } catch (error) {
    ({ code } = error as { code: number });
  }
  return { code, stderr: io.stderr.text };
}

test('one that fails is told of and does not stop the others', async () => {
  const { code, stderr } = await run(new AgentError('VM_BUSY', 'VM b is being started'));
  assert.equal(code, 4);
  assert.match(stderr, /^Error in vms\.yaml, document 2: VM b is being started \(VM_BUSY\)$/m);
  assert.match(stderr, /^Done: 2 created\nNot done: 1\n {2}vms\.yaml, document 2: VM_BUSY\n$/m);
});

test('an agent that is not there is asked once', async () => {
  const { code, stderr } = await run(new AgentError('AGENT_UNREACHABLE', 'It is not there'));
  assert.equal(code, 5);
  assert.match(stderr, /^Not done: 2\n.*AGENT_UNREACHABLE\n {2}vms\.yaml, document 3: not tried$/m);
});

test('Ctrl-C says where it was, what was done, and what was not', async () => {
  const { code, stderr } = await run(new Interrupted('Interrupted'));
  assert.equal(code, 130);
  assert.match(stderr, /^vms\.yaml, document 2: Interrupted$/m);
  assert.match(stderr, /^Done: 1 created\nNot done: 2\n.*interrupted\n.*not tried$/m);
});

test('a mistake of novactl itself is not taken for a failure of a manifest', async () => {
  await assert.rejects(run(new TypeError('a bug')), TypeError);
});

test('a single manifest that is done needs no summary', async () => {
  const io = new FakeCliIo();
  const ends = await runManifests(io, PARTS.slice(0, 1), async () => ({ outcome: 'created' }));
  endManifestRun(io, ends);
  assert.equal(io.stderr.text, '');
});
