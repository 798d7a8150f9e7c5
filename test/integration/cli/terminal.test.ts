import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { spawn } from 'node-pty';
import { Migration, MigrationPhase } from '../../../src/client/api.ts';
import type { FakeAgentServer } from '../../fakes/fake-agent-server.ts';
import { ServedAgent } from './served-agent.ts';
import { TerminalScreen } from './terminal-screen.ts';

const MAIN = path.resolve('src/cli/main.ts');
const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const COLUMNS = 80;
const MIB = 1024n ** 2n;

/** A novactl in a real terminal, whose agent has VM web. */
async function startTerminal(
  command: string,
  {
    shown,
    prepare,
  }: { readonly shown: string; readonly prepare: (agent: FakeAgentServer) => void },
) {
  await using stack = new AsyncDisposableStack();
  const { agent, address } = stack.use(await ServedAgent.start());
  agent.put('web');
  prepare(agent);
  const words = ['--address', address, ...command.split(' ')];
  const terminal = spawn(process.execPath, [MAIN, ...words], { cols: COLUMNS, rows: 24 });
  stack.defer(() => terminal.kill('SIGKILL'));
  const screen = new TerminalScreen(COLUMNS);
  let written = '';
  const isThere = Promise.withResolvers<void>();
  terminal.onData((data) => {
    written += data;
    screen.write(data);
    if (written.includes(shown)) isThere.resolve();
  });
  const exited = new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode }) => {
      resolve(exitCode);
      isThere.reject(new Error(`It ended with ${exitCode} and has not shown ${shown}: ${written}`));
    });
  });
  isThere.promise.catch(() => undefined);
  const owned = stack.move();
  return {
    terminal,
    screen,
    /** Resolves once that is shown. */
    shown: isThere.promise,
    exited,
    written: () => written,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startMigration(steps: readonly Migration[]) {
  return startTerminal(`migrate web --to node-b --id ${ID}`, {
    shown: `${Math.floor((steps.at(-1)?.status?.progress?.fractionDone ?? 0) * 100)}%`,
    prepare: (agent) => {
      agent.migrationSteps = [...steps];
    },
  });
}

function step(phase: MigrationPhase, fractionDone: number): Migration {
  const memoryTotalBytes = 512n * MIB;
  const memoryProcessedBytes = BigInt(Math.round(fractionDone * 512)) * MIB;
  const progress = { memoryTotalBytes, memoryProcessedBytes, fractionDone, iteration: 1 };
  return Migration.create({ status: { phase, progress, destinationNode: 'node-b' } });
}

const COPYING = [0.1, 0.2, 0.4, 0.8].map((fractionDone) =>
  step(MigrationPhase.MIGRATION_PHASE_COPYING, fractionDone),
);

test('a migration is shown in one line that is drawn again and fits the terminal', async () => {
  await using run = await startMigration(COPYING);
  await run.shown;
  const drawn = run.written().split('\r\u001b[2K').slice(1);
  assert.ok(drawn.length >= COPYING.length);
  assert.deepEqual(
    drawn.filter((line) => line.includes('\n') || line.length > COLUMNS - 3),
    [],
  );
  assert.equal(run.screen.rows.length, 2);
  assert.match(run.screen.rows[0] ?? '', /^Migration .* of VM web to node node-b$/);
  assert.match(run.screen.rows[1] ?? '', /^Copying {2}\[#+-*\] {2}80% {2}410Mi\/512Mi .* pass 1$/);
});

test('Ctrl-C at the terminal leaves nothing of the line, and the cursor at the start of a line', async () => {
  await using run = await startMigration(COPYING);
  await run.shown;
  run.terminal.write('\u0003');
  assert.equal(await run.exited, 130);
  const { rows, column, isCursorVisible } = run.screen;
  assert.deepEqual(
    rows.filter((row) => /%|\^C/.test(row)),
    [],
  );
  assert.match(rows[1] ?? '', /^Stopped watching: migration .* goes on\.$/);
  assert.deepEqual([rows.at(-1), column, isCursorVisible], ['', 0, true]);
});

test('at the end the line gives way to the result', async () => {
  const done = step(MigrationPhase.MIGRATION_PHASE_COMPLETED, 1);
  await using run = await startMigration([...COPYING, done]);
  assert.equal(await run.exited, 0);
  assert.deepEqual(run.screen.rows.slice(1), ['VM default/web runs on node node-b', '']);
});

test('Ctrl-C while an operation is waited for leaves nothing of its line', async () => {
  await using run = await startTerminal(`vm shutdown web --operation-id ${ID}`, {
    shown: 'waiting for guest',
    prepare: (agent) => {
      agent.operationSteps = [{ step: 'waiting-for-guest' }];
    },
  });
  await run.shown;
  assert.match(run.screen.rows[0] ?? '', /^Shutting down VM default\/web: waiting for guest, /);
  run.terminal.write('\u0003');
  assert.equal(await run.exited, 130);
  const [first, second] = run.screen.rows;
  assert.equal(first, `Stopped waiting: operation ${ID} goes on.`);
  assert.match(second ?? '', new RegExp(`^  Watch it:  novactl operation watch ${ID}`));
  assert.deepEqual([run.screen.rows.at(-1), run.screen.column], ['', 0]);
});
