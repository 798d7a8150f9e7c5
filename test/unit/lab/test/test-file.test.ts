import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { waitUntil } from '../../../../lab/core/wait-until.ts';
import { readProcess } from '../../../../lab/plan/lab-processes.ts';
import { runTestFile } from '../../../../lab/test/test-file.ts';
import type { TestResult } from '../../../../lab/test/test-result.ts';

/** Enough for Node to start and come to the first test, even on a busy machine. */
const LIMIT_MS = 6_000;
const AMPLE_MS = 60_000;
const never = new AbortController().signal;

class TestFolder implements AsyncDisposable {
  readonly path: string;

  private constructor(folder: string) {
    this.path = folder;
  }

  static async make(): Promise<TestFolder> {
    return new TestFolder(await mkdtemp(path.join(os.tmpdir(), 'novacron-runner-')));
  }

  /** Runs a test file that holds this source. */
  async run(source: string, limitMs: number, signal: AbortSignal = never): Promise<TestResult> {
    const file = path.join(this.path, 'some.test.ts');
    await writeFile(file, `import { describe, test } from 'node:test';\n${source}`);
    return runTestFile(file, limitMs, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

async function waitForEnd(pid: number): Promise<void> {
  await waitUntil(`The end of ${pid}`, 5_000, () => readProcess(pid) === undefined, never);
}

describe('a test file', { concurrency: true }, () => {
  test('that never ends is killed, and its test is named', async () => {
    await using folder = await TestFolder.make();
    const source = `
      test('passes', () => {});
      test('waits for ever', async () => {
        setInterval(() => {}, 1000);
        await new Promise(() => {});
      });`;
    const { passed, failures } = await folder.run(source, LIMIT_MS);
    assert.equal(passed, 1);
    assert.match(
      failures.join(),
      /waits for ever.*killed after 6s|killed after 6s.*waits for ever/,
    );
  });

  test('that never lets go of its thread is killed', async () => {
    await using folder = await TestFolder.make();
    const { failures } = await folder.run('for (;;);', LIMIT_MS);
    assert.match(failures.join(), /^killed after 6s: no test was seen running/);
  });

  test('that leaves a server open is killed, though all its tests pass', async () => {
    await using folder = await TestFolder.make();
    const source = `
      import net from 'node:net';
      test('listens', () => { net.createServer().listen(0, '127.0.0.1'); });`;
    const { passed, failed, failures } = await folder.run(source, LIMIT_MS);
    assert.equal(passed, 1);
    assert.equal(failed, 1);
    assert.match(failures.join(), /something was left open/);
  });

  test('that is killed takes along what it has started, even in a session of its own', async () => {
    await using folder = await TestFolder.make();
    const pidFile = path.join(folder.path, 'pid');
    const source = `
      import { spawn } from 'node:child_process';
      import { writeFileSync } from 'node:fs';
      const child = spawn('sleep', ['1000'], { detached: true });
      writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));`;
    const { failed } = await folder.run(source, LIMIT_MS);
    assert.equal(failed, 1);
    await waitForEnd(Number(await readFile(pidFile, 'utf8')));
  });

  test('ends when the run is aborted', async () => {
    await using folder = await TestFolder.make();
    const stop = new AbortController();
    const pidFile = path.join(folder.path, 'pid');
    const source = `
      import { writeFileSync } from 'node:fs';
      writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
      test('waits', () => new Promise((resolve) => setTimeout(resolve, 1000_000)));`;
    const ended = assert.rejects(folder.run(source, AMPLE_MS, stop.signal), /Enough/);
    const pid = await waitUntil(
      'The file',
      AMPLE_MS,
      async () => existsSync(pidFile) && Number(await readFile(pidFile, 'utf8')),
      never,
    );
    stop.abort(new Error('Enough'));
    await ended;
    await waitForEnd(pid);
  });

  test('is counted by its tests, not by its suites', async () => {
    await using folder = await TestFolder.make();
    const source = `
      describe('a suite', () => {
        test('passes', () => {});
        test('fails', () => { throw new Error('as it should'); });
      });`;
    const { passed, failures, output } = await folder.run(source, AMPLE_MS);
    assert.equal(passed, 1);
    assert.deepEqual(failures, ['fails']);
    assert.match(output, /as it should/);
  });

  test('that cannot be loaded fails', async () => {
    await using folder = await TestFolder.make();
    const { failures, output } = await folder.run(`throw new Error('at once');`, AMPLE_MS);
    assert.deepEqual(failures, ['ended with 1']);
    assert.match(output, /at once/);
  });

  test('that ends before its tests have fails, whatever its exit code', async () => {
    await using folder = await TestFolder.make();
    const { failures } = await folder.run('process.exit(0);', AMPLE_MS);
    assert.deepEqual(failures, ['ended before its tests had: none was seen']);
    const source = `
      test('leaves', async () => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        process.exit(0);
      });`;
    const { failed } = await folder.run(source, AMPLE_MS);
    assert.equal(failed, 1);
  });

  test('may skip for a capability that is listed, and for no other reason', async () => {
    await using folder = await TestFolder.make();
    const source = `
      test('slow link', { skip: 'needs netem, which the build machine lacks: no' }, () => {});
      test('tea', { skip: 'needs tea, which the build machine lacks: no' }, () => {});
      test('later', { todo: true }, () => {});`;
    const { passed, skips, failures } = await folder.run(source, AMPLE_MS);
    assert.equal(passed, 0);
    assert.deepEqual(skips, ['netem']);
    assert.deepEqual(failures, [
      'must not be skipped: tea (needs tea, which the build machine lacks: no)',
      'must not be skipped: later (no reason)',
    ]);
  });
});
