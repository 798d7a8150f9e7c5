import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import {
  ConditionStatus,
  Migration,
  MigrationPhase,
  VirtualMachinePhase,
} from '../../../src/client/api.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { startLab } from './novactl-lab.ts';

const { VIRTUAL_MACHINE_PHASE_MIGRATING, VIRTUAL_MACHINE_PHASE_STOPPED } = VirtualMachinePhase;
const ALL = 'migrate --all --to node-b';

function steps(...phases: readonly MigrationPhase[]): Migration[] {
  return phases.map((phase) =>
    Migration.create({
      status: {
        phase,
        sourceNode: 'node-a',
        destinationNode: 'node-b',
        result: {
          totalTime: { seconds: 2n, nanos: 0 },
          downtime: { seconds: 0n, nanos: 5_000_000 },
        },
      },
    }),
  );
}

type Lab = Awaited<ReturnType<typeof startLab>>;

/** A VM that runs and cannot be moved live. */
function putUnmovable({ agent }: Lab, name: string, reason: string, message: string): void {
  const vm = agent.put(name);
  const conditions = [
    {
      type: 'LiveMigratable',
      status: ConditionStatus.CONDITION_STATUS_FALSE,
      reason,
      message,
      observedGeneration: 1n,
      lastTransitionTime: undefined,
    },
  ];
  agent.vms.put(`default/${name}`, () => ({
    ...vm,
    status: vm.status && { ...vm.status, conditions },
  }));
}

/** VM local runs and cannot be moved, and off is off. */
function putOthers(lab: Lab): void {
  const { agent } = lab;
  putUnmovable(lab, 'local', 'DiskLocal', 'On storage of this node alone: root');
  agent.put('off', {}, VIRTUAL_MACHINE_PHASE_STOPPED);
}

const cells = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split(/ {2,}/));

test('one with a device that nobody can tell stays, unless some volumes are trusted', async () => {
  for (const [trust, outcome] of [
    ['', 'stays'],
    [' --trust-shared data', 'moved'],
  ] as const) {
    await using lab = await startLab();
    lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COMPLETED);
    putUnmovable(lab, 'loop', 'DiskNotIdentified', 'Another node cannot tell: data');
    const { stdout } = await lab.novactl(`${ALL}${trust}`);
    const [, row] = cells(stdout);
    assert.deepEqual(row?.slice(0, 2), ['default/loop', outcome]);
  }
});

test('every VM that can be moved is, and what became of each is told', async () => {
  await using lab = await startLab();
  lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COMPLETED);
  for (const name of ['a', 'b', 'c', 'd', 'e']) lab.agent.put(name);
  lab.agent.put('f', { metadata: { namespace: 'shop' } });
  const { code, stdout, stderr } = await lab.novactl(`${ALL} --label plan=drain`);
  assert.equal(code, 0);
  const [header, ...rows] = cells(stdout);
  assert.deepEqual(header, ['VM', 'OUTCOME', 'MIGRATION', 'TOOK', 'DOWNTIME', 'WHY']);
  assert.deepEqual(
    rows.map(([vm, outcome, , took, downtime, why]) => [vm, outcome, took, downtime, why]),
    ['default/a', 'default/b', 'default/c', 'default/d', 'default/e', 'shop/f'].map((vm) => [
      vm,
      'moved',
      '2s',
      '5ms',
      '-',
    ]),
  );
  assert.equal(stderr.match(/^Migration .* of VM .* to node node-b$/gm)?.length, 6);
  const migrations = lab.agent.migrations.entries().map(([, migration]) => migration);
  assert.deepEqual(new Set(rows.map(([, , id]) => id)), new Set(migrations.map(({ id }) => id)));
  for (const { labels, spec } of migrations) {
    assert.deepEqual(labels, { plan: 'drain' });
    assert.equal(spec?.virtualMachine?.uid, `uid-of-${spec?.virtualMachine?.name}`);
  }
});

test('only those of a namespace with the labels are moved', async () => {
  await using lab = await startLab();
  lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COMPLETED);
  lab.agent.put('web', { metadata: { namespace: 'shop', labels: { app: 'web' } } });
  lab.agent.put('db', { metadata: { namespace: 'shop' } });
  lab.agent.put('web', { metadata: { labels: { app: 'web' } } });
  const { stdout } = await lab.novactl(`${ALL} -n shop -l app=web -o name`);
  assert.equal(stdout, 'shop/web\n');
  const none = await lab.novactl(`${ALL} -n blog`);
  assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', 'There are no VMs to move\n']);
});

test('one that runs and cannot be moved is told, and ends with 4; one that is off does not', async () => {
  await using lab = await startLab();
  lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COMPLETED);
  lab.agent.put('off', {}, VIRTUAL_MACHINE_PHASE_STOPPED);
  lab.agent.put('web');
  const without = await lab.novactl(ALL);
  assert.equal(without.code, 0);
  assert.match(without.stdout, /^default\/off +stays +- +- +- +it is off$/m);
  putOthers(lab);
  const { code, stdout } = await lab.novactl(`${ALL} -o json`);
  assert.equal(code, 4);
  const items = JSON.parse(stdout).items;
  assert.deepEqual(
    items.map(({ vm, outcome, why = '' }: Record<string, string>) => [vm, outcome, why]),
    [
      ['default/local', 'stays', 'DiskLocal: On storage of this node alone: root'],
      ['default/off', 'stays', 'it is off'],
      ['default/web', 'moved', ''],
    ],
  );
  lab.agent.put('web', {}, VIRTUAL_MACHINE_PHASE_MIGRATING);
  assert.match((await lab.novactl(ALL)).stdout, /^default\/web +stays .* it is being moved by mi/m);
});

test('one that fails stops no other, and ends with 1', async () => {
  await using lab = await startLab();
  lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_FAILED);
  lab.agent.put('a');
  lab.agent.put('b');
  const { code, stdout } = await lab.novactl(ALL);
  assert.equal(code, 1);
  assert.deepEqual(
    cells(stdout).map(([, outcome]) => outcome),
    ['OUTCOME', 'failed', 'failed'],
  );
});

test('one that is refused stops no other, but a node that cannot be reached does', async () => {
  for (const [reason, tried, code] of [
    ['VM_BUSY', 'moved', 4],
    ['PEER_UNREACHABLE', 'not-tried', 5],
  ] as const) {
    await using lab = await startLab();
    lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COMPLETED);
    for (const name of ['a', 'b', 'c', 'd', 'e']) lab.agent.put(name);
    const io = new FakeCliIo();
    const list = lab.agent.vms.page.bind(lab.agent.vms);
    lab.agent.vms.page = (...given) => {
      lab.agent.failNext = new AgentError(reason, 'It cannot be');
      return list(...given);
    };
    const run = await lab.novactl(ALL, { io });
    assert.equal(run.code, code, reason);
    const outcomes = cells(run.stdout).map(([, outcome]) => outcome);
    assert.equal(outcomes.filter((outcome) => outcome === 'refused').length, 1);
    // Those that were asked for with it are moved in any case.
    assert.deepEqual(new Set(outcomes.slice(4)), new Set([tried]));
    assert.match(
      run.stderr,
      new RegExp(`^Error in VM default/.: It cannot be \\(${reason}\\)$`, 'm'),
    );
  }
});

test('a few go at once; Ctrl-C leaves those alone, and the others are not begun', async () => {
  await using lab = await startLab();
  lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COPYING);
  for (const name of ['a', 'b', 'c', 'd', 'e']) lab.agent.put(name);
  const interrupt = new AbortController();
  const io = new FakeCliIo({ signal: interrupt.signal });
  const write = io.stderr.write.bind(io.stderr);
  io.stderr.write = (data) => {
    write(data);
    const begun = io.stderr.text.match(/^Migration /gm)?.length;
    if (begun === 3) interrupt.abort(new Interrupted('Interrupted'));
  };
  const { code, stdout, stderr } = await lab.novactl(ALL, { io });
  assert.equal(code, 130);
  assert.equal(lab.agent.migrations.size, 3);
  const outcomes = cells(stdout).map(([, outcome]) => outcome);
  const tried = ['goes-on', 'goes-on', 'goes-on', 'not-tried', 'not-tried'];
  assert.deepEqual(outcomes, ['OUTCOME', ...tried]);
  assert.match(stderr, /What was begun goes on: novactl migration list$/m);
});

test('--no-wait begins all of them', async () => {
  await using lab = await startLab();
  lab.agent.migrationSteps = steps(MigrationPhase.MIGRATION_PHASE_COPYING);
  for (const name of ['a', 'b', 'c', 'd', 'e']) lab.agent.put(name);
  const { code, stdout } = await lab.novactl(`${ALL} --no-wait`);
  assert.equal(code, 0);
  assert.equal(stdout.match(/ begun +[0-9a-f-]{36} /g)?.length, 5);
});

test('--plan says of each what stands in the way', async () => {
  await using lab = await startLab();
  lab.agent.put('off', {}, VIRTUAL_MACHINE_PHASE_STOPPED);
  lab.agent.put('web');
  const free = await lab.novactl(`${ALL} --plan`);
  assert.equal(free.code, 0);
  assert.match(
    free.stdout,
    /^VM default\/off stays: it is off\nVM default\/web can be migrated to/,
  );
  putOthers(lab);
  assert.equal((await lab.novactl(`${ALL} --plan`)).code, 4);
  const { items } = JSON.parse((await lab.novactl(`${ALL} --plan -o json`)).stdout);
  assert.deepEqual(
    items.map(({ possible }: { possible: boolean }) => possible),
    [false, true, false],
  );
  assert.equal(lab.agent.migrations.size, 0);
});
