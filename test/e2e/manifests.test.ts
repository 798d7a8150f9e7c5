import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { SPECIFICATION_EXAMPLE } from '../fixtures/manifests.ts';
import { BareNode, type VmDocument } from './bare-node.ts';

const MACHINE = 'spec.template.spec';
const MEMORY = `${MACHINE}.resources.memory`;

test('manifests are applied on a bare node through novactl', async (context) => {
  await using bare = await BareNode.start(context.signal);
  const story = (name: string, tell: (signal: AbortSignal) => Promise<void>): Promise<void> =>
    context.test(name, ({ signal }: TestContext) => tell(signal));

  await story('what it cannot do of the specification is refused by field', async (signal) => {
    const file = await bare.write('specification.yaml', SPECIFICATION_EXAMPLE);
    const { code, stderr } = await bare.novactl(['vm', 'apply', '-f', file], signal);
    assert.equal(code, EXIT_CODES.refused, stderr);
    assert.match(stderr, /NOT_SUPPORTED/);
    assert.deepEqual(fieldsIn(stderr), [
      'spec.snapshotPolicy',
      `${MACHINE}.devices`,
      `${MACHINE}.image.source`,
      `${MACHINE}.lifecycle.preStart.exec.command[0]`,
      `${MACHINE}.lifecycle.preStop.exec.command[0]`,
      `${MACHINE}.networks[0].ipv4.method`,
      `${MACHINE}.volumes[0].storageClass`,
    ]);
    assert.deepEqual(await bare.domains(signal), []);
  });

  const folder = await bare.writeVms('64Mi');
  const apply = (...options: string[]) => ['vm', 'apply', '-f', folder, ...options];

  await story('a dry run says what would be made and makes nothing', async (signal) => {
    const said = await bare.succeed(apply('--dry-run'), signal);
    assert.match(said, /default\/web would be created/);
    assert.match(said, /shop\/db would be created/);
    assert.deepEqual(await bare.domains(signal), []);
  });

  await story('the documents of a folder become VMs, once', async (signal) => {
    const said = await bare.succeed(apply(), signal);
    assert.match(said, /default\/web created/);
    assert.match(said, /shop\/db created/);
    const again = await bare.succeed(apply(), signal);
    assert.match(again, /default\/web unchanged/);
    assert.match(again, /shop\/db unchanged/);
    assert.deepEqual(await bare.domains(signal), ['default_web', 'shop_db']);
    const web = await bare.get('web', signal);
    assert.deepEqual([web.metadata.generation, web.status.phase], [1, 'Running']);
    assert.equal((await bare.get('shop/db', signal)).status.phase, 'Stopped');
  });

  await story('more memory waits for the next start, and is said to', async (signal) => {
    await bare.writeVms('96Mi');
    const planned = await bare.succeed(apply('--dry-run'), signal);
    assert.match(planned, /resources\.memory: 64Mi -> 96Mi \(at the next start\)/);
    assert.deepEqual(pendingOf(await bare.get('web', signal)), []);
    assert.equal((await bare.get('web', signal)).metadata.generation, 1);

    const said = await bare.succeed(apply(), signal);
    assert.match(said, /default\/web changed/);
    assert.match(said, /shop\/db unchanged/);
    const changed = await bare.get('web', signal);
    assert.equal(changed.metadata.generation, 2);
    assert.deepEqual(pendingOf(changed), [MEMORY]);
    assert.deepEqual(specAppliedOf(changed), { status: 'False', reason: 'WaitsForRestart' });
    assert.equal(await bare.memoryMib('default_web', signal), 64);
    await expectWaiting(bare, signal);
  });

  await story(
    'a reboot by the guest changes nothing about it, nor do new daemons',
    async (signal) => {
      await bare.virsh(['reset', 'default_web'], signal);
      await expectWaiting(bare, signal);
      await bare.restartDaemons(signal);
      await expectWaiting(bare, signal);
      assert.equal(await bare.memoryMib('default_web', signal), 64);
    },
  );

  await story('after the next start it is in force', async (signal) => {
    await bare.succeed(['vm', 'destroy', 'web'], signal);
    await bare.succeed(['vm', 'start', 'web'], signal);
    const restarted = await bare.get('web', signal);
    assert.deepEqual(pendingOf(restarted), []);
    assert.deepEqual(specAppliedOf(restarted), { status: 'True', reason: 'Applied' });
    assert.equal(await bare.memoryMib('default_web', signal), 96);
  });

  await story('what is read can be applied, and changes nothing', async (signal) => {
    for (const name of ['web', 'shop/db']) {
      const document = await bare.succeed(['vm', 'get', name, '-o', 'yaml'], signal);
      const said = await bare.succeed(['vm', 'apply', '-f', '-'], signal, document);
      assert.match(said, /unchanged/);
    }
    assert.equal((await bare.get('web', signal)).metadata.generation, 2);
  });

  await story('the documents of a folder are deleted', async (signal) => {
    const refused = await bare.novactl(['vm', 'delete', '-f', folder], signal);
    assert.equal(refused.code, EXIT_CODES.refused);
    assert.match(refused.stderr, /VM_RUNNING/);
    assert.deepEqual(await bare.domains(signal), ['default_web']);
    // One of them is gone by now.
    const rest = ['vm', 'delete', '-f', folder, '--force', '--ignore-not-found'];
    await bare.succeed(rest, signal);
    assert.deepEqual(await bare.domains(signal), []);
    await bare.succeed(rest, signal);
    const again = await bare.novactl(['vm', 'delete', '-f', folder], signal);
    assert.equal(again.code, EXIT_CODES.notFound);
    assert.match(again.stderr, /it was deleted before/);
  });
});

/** What the VM has now and what it will have are told apart, for people and for programs. */
async function expectWaiting(bare: BareNode, signal: AbortSignal): Promise<void> {
  const { status } = await bare.get('web', signal);
  assert.deepEqual(status.pendingChanges, [
    { field: MEMORY, live: '64Mi', wanted: '96Mi', waitsFor: 'restart' },
  ]);
  const shown = await bare.succeed(['vm', 'get', 'web'], signal);
  assert.match(shown, /\nspec\.template\.spec\.resources\.memory +64Mi +96Mi +the next start\n/);
}

function pendingOf({ status }: VmDocument): readonly string[] {
  return status.pendingFields ?? [];
}

function specAppliedOf({ status }: VmDocument): { status?: string; reason?: string } {
  const found = status.conditions.find(({ type }) => type === 'SpecApplied');
  return found === undefined ? {} : { status: found.status, reason: found.reason };
}

/** The fields that a text names, each once. */
function fieldsIn(text: string): string[] {
  return [...new Set(text.match(/\bspec(\.\w+|\[\d+\])+/g))].toSorted();
}
