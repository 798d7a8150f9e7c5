import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { AgentError } from '../../src/core/errors.ts';
import { BAD_VMS, IMAGE, vmWith } from './bad-vms.ts';

/** Rows of the journal that stand for something unfinished; what was deleted or has ended is remembered for a while. */
const LEFT_BEHIND = [
  'ownership WHERE is_deleted = 0',
  'migration',
  'operation WHERE ended_at_ms IS NULL',
];

test('what cannot work is refused by name and leaves nothing behind', async (context) => {
  const { signal } = context;
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  await node.run(['truncate', '--size=1M', IMAGE], signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  using client = await connectAgent(node);

  const expectNothing = async (): Promise<void> => {
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
    const { virtualMachines } = await client.vms.list({}, { signal });
    assert.deepEqual(virtualMachines, []);
    using journal = new DatabaseSync(`${node.plan.directory}/state/journal.db`, { readOnly: true });
    // What was tried stays as history; nothing may go on.
    for (const left of LEFT_BEHIND) {
      const rows = journal.prepare(`SELECT * FROM ${left}`).all();
      assert.deepEqual(rows, [], `the journal's ${left}`);
    }
  };

  for (const { what, vm, reason, grpcCode, fields } of BAD_VMS) {
    await context.test(what, async () => {
      for (const dryRun of [false, true]) {
        const error = await failure(client.vms.create(vm, { signal, dryRun }));
        assert.equal(error.reason, reason, error.message);
        assert.equal((error.cause as { code?: number }).code, grpcCode);
        assert.deepEqual(
          error.violations.map(({ field }) => field),
          fields,
        );
      }
      await expectNothing();
    });
  }

  await context.test("a file of the agent's own", async () => {
    // Which lie in a folder for images, as they do where nothing is configured.
    const state = `${node.plan.directory}/state`;
    const files = readdirSync(state, { withFileTypes: true, recursive: true }).filter((entry) =>
      entry.isFile(),
    );
    assert.notEqual(files.length, 0);
    for (const { parentPath, name } of files) {
      const source = { file: { path: path.join(parentPath, name) } };
      const volumes = [{ name: 'root', format: 'raw', source }];
      const error = await failure(
        client.vms.create(vmWith({ machine: { volumes } }), { signal, dryRun: true }),
      );
      assert.equal(error.reason, 'IMAGE_NOT_ALLOWED', error.message);
      assert.match(error.message, /it is one of the agent's own files/);
    }
  });

  await context.test('a VM that libvirt itself cannot start', async () => {
    // Linux takes no kernel that is no kernel; QEMU notices only when it starts.
    const machine = { kernel: { path: IMAGE, initrd: guest.initrdPath } };
    const vm = vmWith({ machine, runStrategy: 'Once' });
    const error = await failure(client.vms.create(vm, { signal }));
    assert.equal(error.reason, 'HYPERVISOR_REFUSED', error.message);
    await expectNothing();
  });

  await context.test('a VM made twice is one VM; another one of its name is refused', async () => {
    const uid = randomUUID();
    const vm = vmWith({ metadata: { uid } });
    const { virtualMachine: first } = await client.vms.create(vm, { signal });
    const { virtualMachine: second } = await client.vms.create(vm, { signal });
    assert.equal(first?.metadata?.uid, uid);
    assert.deepEqual(second?.metadata, first.metadata);
    const names = await node.libvirt.virsh(['list', '--all', '--name'], signal);
    assert.equal(names.trim().split('\n').length, 1);
    const resources = { cpu: '2', memory: '64Mi' };
    const other = vmWith({ metadata: { uid }, machine: { resources } });
    for (const wrong of [other, vmWith(), vmWith({ metadata: { uid, name: 'x' } })]) {
      const error = await failure(client.vms.create(wrong, { signal }));
      assert.equal(error.reason, 'VM_ALREADY_EXISTS', error.message);
    }
    // Side by side, too.
    const many = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        client.vms.create(vmWith({ metadata: { name: 'race' } }), { signal }),
      ),
    );
    // Who asks for the same while it is being done means the same operation, and is told of the same VM.
    const uids = many.map((made) =>
      made.status === 'fulfilled' ? made.value.virtualMachine?.metadata?.uid : undefined,
    );
    assert.equal(new Set(uids.filter((made) => made !== undefined)).size, 1);
    const all = await node.libvirt.virsh(['list', '--all', '--name'], signal);
    assert.deepEqual(all.trim().split(/\s+/).toSorted(), ['default_race', 'default_vm']);
    await client.vms.delete({ name: 'race' }, { signal });
    await client.vms.delete({ name: 'vm' }, { signal });
    await client.vms.delete({ name: 'vm' }, { signal });
    await expectNothing();
  });

  await context.test('a running VM is deleted only by force', async () => {
    await client.vms.create(vmWith({ runStrategy: 'Once' }), { signal });
    assert.equal(
      (await failure(client.vms.delete({ name: 'vm' }, { signal }))).reason,
      'VM_RUNNING',
    );
    const wrong = { name: 'vm', uid: randomUUID() };
    const mismatch = await failure(client.vms.delete(wrong, { signal, force: true }));
    assert.equal(mismatch.reason, 'VM_UID_MISMATCH');
    const state = await node.libvirt.virsh(['domstate', 'default_vm'], signal);
    assert.equal(state.trim(), 'running');
    await client.vms.delete({ name: 'vm' }, { signal, force: true });
    await expectNothing();
  });

  await context.test('an image that another VM has open, by whatever path', async () => {
    const [soft, hard] = ['/run/soft.raw', '/run/hard.raw'];
    await node.run(['ln', '-s', IMAGE, soft], signal);
    await node.run(['ln', IMAGE, hard], signal);
    const onImage = (name: string, path: string, more = {}) =>
      vmWith({ metadata: { name }, machine: { volumes: [diskAt(path)] }, ...more });
    const one = { name: 'one' };
    await client.vms.create(onImage('one', IMAGE, { runStrategy: 'Once' }), { signal });
    const { warnings } = await client.vms.create(onImage('late', soft), { signal });
    assert.match(warnings.join(), /which VM default\/one has open; .* before it is started/);
    for (const path of [IMAGE, soft, hard]) {
      const two = onImage('two', path, { runStrategy: 'Once' });
      const planned = await failure(client.vms.create(two, { signal, dryRun: true }));
      const made = await failure(client.vms.create(two, { signal }));
      assert.deepEqual([planned.reason, planned.message], [made.reason, made.message]);
      assert.equal(made.reason, 'IMAGE_IN_USE');
      assert.match(made.message, /which VM default\/one has open; shut that down/);
    }
    const late = { name: 'late' };
    const planned = await failure(client.vms.start(late, { signal, dryRun: true }));
    const started = await failure(client.vms.start(late, { signal }));
    assert.deepEqual([planned.reason, planned.message], [started.reason, started.message]);
    assert.equal(started.reason, 'IMAGE_IN_USE');
    const { status } = await client.vms.get(late, { signal });
    const startable = status?.conditions.find(({ type }) => type === 'Startable');
    assert.deepEqual([startable?.reason, startable?.message], ['ImageInUse', started.message]);
    // What it has open itself is not in its way.
    await client.vms.apply(onImage('one', IMAGE, { runStrategy: 'Manual' }), { signal });
    await client.vms.destroy(one, { signal });
    await client.vms.start(late, { signal, dryRun: true });
    await client.vms.start(late, { signal });
    for (const ref of [one, late]) await client.vms.delete(ref, { signal, force: true });
    const twice = [diskAt(IMAGE), { ...diskAt(hard), name: 'again' }];
    const spec = vmWith({ machine: { volumes: twice } });
    for (const dryRun of [true, false]) {
      assert.equal(
        (await failure(client.vms.create(spec, { signal, dryRun }))).reason,
        'INVALID_SPEC',
      );
    }
    await expectNothing();
  });

  await context.test('calls that name nothing that is there', async () => {
    const missing = { name: 'none' };
    const spec = { virtualMachine: missing, destination: { nodeName: 'b' } };
    const calls = [
      [() => client.vms.start(missing, { signal }), 'VM_NOT_FOUND'],
      [() => client.vms.shutdown(missing, { signal }), 'VM_NOT_FOUND'],
      [() => client.migrations.get(randomUUID(), { signal }), 'MIGRATION_NOT_FOUND'],
      [() => client.migrations.cancel(randomUUID(), { signal }), 'MIGRATION_NOT_FOUND'],
      [() => client.migrations.get('not a uuid', { signal }), 'INVALID_REQUEST'],
      [() => client.migrations.start(randomUUID(), {}, { signal }), 'INVALID_REQUEST'],
      [() => client.migrations.start(randomUUID(), spec, { signal }), 'VM_NOT_FOUND'],
    ] as const;
    for (const [call, reason] of calls) assert.equal((await failure(call())).reason, reason);
  });
});

function diskAt(path: string) {
  return { name: 'root', format: 'raw', source: { file: { path } } };
}

async function failure(call: Promise<unknown>): Promise<AgentError> {
  const outcome = await call.then(
    () => assert.fail('was accepted'),
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof AgentError, String(outcome));
  return outcome;
}
