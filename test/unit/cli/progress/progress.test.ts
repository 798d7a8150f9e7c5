import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  progressBar,
  progressLine,
  progressLogLine,
  resultText,
} from '../../../../src/cli/progress/progress.ts';
import { ProgressPrinter } from '../../../../src/cli/progress/progress-printer.ts';
import { Migration, MigrationPhase } from '../../../../src/client/api.ts';
import { FakeOutput } from '../../../fakes/fake-cli-io.ts';

const MIB = 1024n ** 2n;

function migration(phase: MigrationPhase, fractionDone: number): Migration {
  return Migration.create({
    id: '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11',
    spec: { virtualMachine: { name: 'web' } },
    status: {
      phase,
      sourceNode: 'a',
      destinationNode: 'b',
      progress: {
        memoryTotalBytes: 512n * MIB,
        memoryProcessedBytes: 256n * MIB,
        memoryBytesPerSecond: 110n * MIB,
        dirtyBytesPerSecond: 12n * MIB,
        iteration: 2,
        estimatedTimeLeft: { seconds: 4n, nanos: 200_000_000 },
        wireBytes: 128n * MIB,
        fractionDone,
      },
    },
  });
}

const COPYING = migration(MigrationPhase.MIGRATION_PHASE_COPYING, 0.5);

test('a bar never overflows', () => {
  assert.equal(progressBar(0.5, 4), '[##--]');
  assert.equal(progressBar(7, 4), '[####]');
  assert.equal(progressBar(-1, 4), '[----]');
});

test('the line has everything one asks for', () => {
  assert.equal(
    progressLine(COPYING, 197),
    'Copying  [##########----------]  50%  256Mi/512Mi  110Mi/s  dirty 12Mi/s  pass 2  4.2s left  128Mi on the wire',
  );
});

test('where there is less room, the bar gives way, then the bytes on the wire, and never the figures', () => {
  assert.equal(
    progressLine(COPYING, 77),
    'Copying  [###---]  50%  256Mi/512Mi  110Mi/s  dirty 12Mi/s  pass 2  4.2s left',
  );
});

test('the line never wraps', () => {
  for (let room = 0; room < 130; room++) {
    assert.ok(progressLine(COPYING, room).length <= room, `${room}`);
  }
});

test('time left is not shown while nobody knows it', () => {
  const progress = { memoryTotalBytes: 512n * MIB };
  assert.doesNotMatch(progressLogLine(Migration.create({ status: { progress } })), /left/);
});

test('the line of a log is not cut', () => {
  assert.equal(
    progressLogLine(COPYING),
    'Copying, 50%, 256Mi/512Mi, 110Mi/s, dirty 12Mi/s, pass 2, 4.2s left, 128Mi on the wire',
  );
});

test('a completed migration says what it took', () => {
  const done = Migration.create({
    ...COPYING,
    status: {
      phase: MigrationPhase.MIGRATION_PHASE_COMPLETED,
      destinationNode: 'b',
      result: {
        totalTime: { seconds: 12n, nanos: 300_000_000 },
        downtime: { seconds: 0n, nanos: 84_000_000 },
        memoryProcessedBytes: 600n * MIB,
        wireBytes: 150n * MIB,
        iterations: 3,
        reconnects: 1,
      },
    },
  });
  assert.equal(
    resultText(done),
    'VM default/web runs on node b: 12.3s in all, 84ms downtime, 600Mi of memory in 3 passes, 150Mi on the wire, 1 reconnects',
  );
});

test('what nobody has measured of a completed migration is said to be unknown', () => {
  const done = Migration.create({
    ...COPYING,
    status: {
      phase: MigrationPhase.MIGRATION_PHASE_COMPLETED,
      destinationNode: 'b',
      result: {
        wireBytes: 150n * MIB,
        unknown: ['total_time', 'downtime', 'memory_processed_bytes', 'iterations', 'reconnects'],
      },
    },
  });
  assert.equal(
    resultText(done),
    'VM default/web runs on node b: unknown in all, unknown downtime, unknown of memory in unknown passes, 150Mi on the wire, unknown reconnects',
  );
});

test('a figure that is not known takes the room of a question mark', () => {
  const unknown = ['fraction_done', 'memory_processed_bytes', 'memory_bytes_per_second'];
  const progress = { memoryTotalBytes: 512n * MIB, iteration: 1, unknown };
  assert.equal(
    progressLogLine(Migration.create({ status: { phase: 2, progress } })),
    'Copying, ?%, ?/512Mi, ?, dirty 0B/s, pass 1, 0B on the wire',
  );
});

test('a failed migration says why and where the VM is', () => {
  const failed = Migration.create({
    ...COPYING,
    status: {
      phase: MigrationPhase.MIGRATION_PHASE_FAILED,
      sourceNode: 'a',
      reason: 'PEER_UNREACHABLE',
      message: 'Node b does not answer',
    },
  });
  assert.match(
    resultText(failed),
    /failed: Node b does not answer \(PEER_UNREACHABLE\); VM default\/web stays on node a$/,
  );
});

test('a terminal gets one line that is drawn again', () => {
  const output = new FakeOutput({ isTTY: true });
  const printer = new ProgressPrinter(output);
  printer.show(COPYING);
  printer.show(COPYING);
  printer.clear();
  assert.equal(output.text.split('\r\u001b[2K').length, 4);
  assert.ok(!output.text.includes('\n'));
});

test('a log gets two lines a second at the most, the last of them with the newest figures', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const output = new FakeOutput();
  const printer = new ProgressPrinter(output);
  for (const done of [0.1, 0.2, 0.3]) {
    printer.show(migration(MigrationPhase.MIGRATION_PHASE_COPYING, done));
    t.mock.timers.tick(100);
  }
  assert.deepEqual(percentages(output), ['10%']);
  t.mock.timers.tick(300);
  assert.deepEqual(percentages(output), ['10%', '30%']);
});

test('a log gets no line that says what the last one said', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const output = new FakeOutput();
  const printer = new ProgressPrinter(output);
  for (let count = 0; count < 20; count++) {
    printer.show(COPYING);
    t.mock.timers.tick(500);
  }
  assert.deepEqual(percentages(output), ['50%']);
});

test('after the end nothing more is written to a log', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const output = new FakeOutput();
  const printer = new ProgressPrinter(output);
  printer.show(COPYING);
  printer.show(migration(MigrationPhase.MIGRATION_PHASE_SWITCHING_OVER, 0.9));
  printer.clear();
  t.mock.timers.tick(1_000);
  assert.deepEqual(percentages(output), ['50%']);
});

function percentages(output: FakeOutput): string[] {
  return output.text.split('\n').flatMap((line) => line.match(/\d+%/) ?? []);
}
