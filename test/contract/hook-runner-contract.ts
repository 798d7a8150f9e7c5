import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import type { HookRequest, HookRunner } from '../../src/drivers/hook-runner.ts';
import { until } from '../fixtures/until.ts';

/** A node with programs. */
export interface HookRunnerFixture extends AsyncDisposable {
  readonly runner: HookRunner;
  /** Ends well. */
  readonly good: string;
  /** Says `no lease left` and fails. */
  readonly bad: string;
  /** Ends only once it is made to. */
  readonly endless: string;
  /** May not be run. */
  readonly forbidden: string;
  /** Whether that one runs. */
  isRunning(vmUid: string): Promise<boolean>;
}

const never = new AbortController().signal;

function requestOf(program: string, timeoutMs = 30_000): HookRequest {
  const vm = { namespace: 'shop', name: 'web', uid: randomUUID() };
  return { hook: 'preStart', vm, command: [program], timeoutMs };
}

/** What every HookRunner promises. */
export function testHookRunner(name: string, make: () => Promise<HookRunnerFixture>): void {
  void describe(name, () => {
    void test('a program that ends well has not failed', async () => {
      await using fixture = await make();
      const { runner, good } = fixture;
      assert.equal(await runner.findProblem(good, never), undefined);
      const { failure } = await runner.run(requestOf(good), never);
      assert.equal(failure, undefined);
    });

    void test('a program that fails is an answer, with what it has said', async () => {
      await using fixture = await make();
      const { failure, output } = await fixture.runner.run(requestOf(fixture.bad), never);
      assert.deepEqual([failure, output], ['ended with exit code 3', 'no lease left']);
    });

    void test('a program that may not be run is told beforehand, and not run', async () => {
      await using fixture = await make();
      const { runner, forbidden } = fixture;
      const problem = await runner.findProblem(forbidden, never);
      assert.ok(problem);
      await assert.rejects(runner.run(requestOf(forbidden), never), {
        reason: 'HOOK_NOT_ALLOWED',
        message: problem,
      });
    });

    void test('a program whose time is over is ended, which is its failure', async () => {
      await using fixture = await make();
      const request = requestOf(fixture.endless, 300);
      const { failure } = await fixture.runner.run(request, never);
      assert.equal(failure, 'has not ended within 0.3 s, and was ended');
      assert.equal(await fixture.isRunning(request.vm.uid), false);
    });

    void test('an abort ends the program, and is rethrown once it has', async () => {
      await using fixture = await make();
      const stop = new AbortController();
      const request = requestOf(fixture.endless);
      const running = fixture.runner.run(request, stop.signal);
      await until('it runs', () => fixture.isRunning(request.vm.uid));
      const reason = new Error('not wanted any more');
      stop.abort(reason);
      await assert.rejects(running, reason);
      assert.equal(await fixture.isRunning(request.vm.uid), false);
    });

    void test('an abort before it has begun lets nothing run', async () => {
      await using fixture = await make();
      const reason = new Error('stop');
      const request = requestOf(fixture.good);
      await assert.rejects(fixture.runner.run(request, AbortSignal.abort(reason)), reason);
      await assert.rejects(fixture.runner.findProblem('/x', AbortSignal.abort(reason)), reason);
    });

    void test('where nothing is left of earlier hooks, ending that is done', async () => {
      await using fixture = await make();
      await fixture.runner.endLeft([randomUUID()], never);
      await fixture.runner.endLeft([], never);
    });
  });
}
