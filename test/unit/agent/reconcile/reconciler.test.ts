import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Again, Controller, Look } from '../../../../src/agent/reconcile/controller.ts';
import { Reconciler } from '../../../../src/agent/reconcile/reconciler.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { Notifier } from '../../../../src/core/notifier.ts';
import { TaskGroup } from '../../../../src/core/task-group.ts';
import { until } from '../../../fixtures/until.ts';

type Step = (vmUid: string, signal: AbortSignal) => Promise<Again | undefined>;

/** Something of VMs that controllers bring from the wrong to the right. */
class World implements AsyncDisposable {
  readonly wrong = new Map<string, string>();
  /** Before the first try after a failure. */
  firstDelayMs = 1;
  #returns = 0;
  readonly #changes = new Notifier();
  readonly #tasks = new TaskGroup(createLogger('silent'));

  /** What comes to be wrong with a VM, or right. */
  set(uid: string, concern: string | undefined): void {
    if (concern === undefined) this.wrong.delete(uid);
    else this.wrong.set(uid, concern);
    this.#changes.notify();
  }

  /** The hypervisor can be asked again. */
  return(): void {
    this.#returns += 1;
    this.#changes.notify();
  }

  controller(name: string, step: Step, others: readonly string[] = []): Controller {
    return {
      name,
      inputs: [],
      outputs: [],
      concern: ({ uid }) => this.wrong.get(uid),
      reconcile: step,
      ...(others.length === 0 ? {} : { findOthers: async () => others }),
    };
  }

  reconcile(...controllers: readonly Controller[]): Reconciler {
    const reconciler = new Reconciler({
      controllers,
      looks: (signal) => this.#looks(signal),
      tasks: this.#tasks,
      log: createLogger('silent'),
      firstDelayMs: this.firstDelayMs,
    });
    this.#tasks.run('reconciler', (signal) => reconciler.run(signal));
    return reconciler;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }

  async *#looks(signal: AbortSignal): AsyncGenerator<Look> {
    for (;;) {
      const seen = this.#changes.version;
      const vms = ['web', 'db'].map((uid) => ({ uid, domain: undefined, vm: undefined }));
      yield { vms, returns: this.#returns };
      await this.#changes.changed(seen, signal);
    }
  }
}

test('a step is taken for each VM that is not as it should be, until it is', async () => {
  await using world = new World();
  const steps: string[] = [];
  world.set('web', 'off');
  const reconciler = world.reconcile(
    world.controller('power', async (uid) => {
      steps.push(uid);
      world.set(uid, undefined);
      return undefined;
    }),
  );
  await until('it is right', () => world.wrong.size === 0);
  world.set('db', 'off');
  await until('it is right', () => world.wrong.size === 0 && reconciler.states()[0]?.depth === 0);
  assert.deepEqual(steps, ['web', 'db']);
});

test('a VM at which a step fails for ever, and one at which it hangs, delay neither other VMs nor other controllers', async () => {
  await using world = new World();
  const tried = new Map<string, number>();
  const count = (key: string) => tried.set(key, (tried.get(key) ?? 0) + 1);
  const reconciler = world.reconcile(
    world.controller('fails', async (uid) => {
      count(`fails ${uid}`);
      throw new Error('there is no way');
    }),
    world.controller('works', async (uid) => {
      count(`works ${uid}`);
      return undefined;
    }),
  );
  world.set('web', 'off');
  await until('it was tried often', () => (tried.get('fails web') ?? 0) > 3);
  assert.ok(tried.get('works web'));
  world.set('db', 'off');
  await until('the other has its turn', () => tried.has('works db'));
  const [fails, works] = reconciler.states();
  assert.ok(fails && works);
  assert.ok(fails.retries > 3);
  assert.equal(fails.lastError, 'there is no way');
  assert.deepEqual([works.retries, works.lastError, works.failing], [0, '', 0]);
});

test('steps on one VM are taken one at a time, whoever takes them', async () => {
  await using world = new World();
  let running = 0;
  let most = 0;
  let taken = 0;
  const step: Step = async (uid) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    taken += 1;
    if (taken === 20) world.set(uid, undefined);
    return { afterMs: 0 };
  };
  world.reconcile(world.controller('one', step), world.controller('two', step));
  world.set('web', 'off');
  await until('enough steps are taken', () => taken >= 20);
  assert.equal(most, 1);
});

test('a controller says itself when to look again, and when to try again', async () => {
  await using world = new World();
  let steps = 0;
  const reconciler = world.reconcile(
    world.controller('waits', async (uid) => {
      steps += 1;
      if (steps === 1) return { afterMs: 1 };
      if (steps === 2) return { afterMs: 1, failure: new Error('not yet') };
      world.set(uid, undefined);
      return undefined;
    }),
  );
  world.set('web', 'off');
  await until('it is right', () => world.wrong.size === 0);
  const [state] = reconciler.states();
  assert.deepEqual([state?.retries, state?.lastError], [1, 'not yet']);
});

test('what nobody sees is asked for once, again if that fails', async () => {
  await using world = new World();
  const steps: string[] = [];
  let asked = 0;
  const controller = world.controller('files', async (uid) => {
    steps.push(uid);
    return undefined;
  });
  world.reconcile({
    ...controller,
    async findOthers() {
      asked += 1;
      if (asked === 1) throw new Error('not now');
      return ['gone'];
    },
  });
  await until('it is seen to', () => steps.length > 0);
  world.set('db', undefined);
  await new Promise(setImmediate);
  assert.deepEqual([steps, asked], [['gone'], 2]);
});

test('a step ends with the agent', async () => {
  const world = new World();
  let ended: unknown;
  const started = Promise.withResolvers<void>();
  world.reconcile(
    world.controller('hangs', async (_uid, signal) => {
      started.resolve();
      const { promise, reject } = Promise.withResolvers<undefined>();
      signal.addEventListener('abort', () => reject(signal.reason));
      try {
        return await promise;
      } catch (error) {
        ended = error;
        throw error;
      }
    }),
  );
  world.set('web', 'off');
  await started.promise;
  await world[Symbol.asyncDispose]();
  assert.ok(ended instanceof Error);
});

test('no two controllers write the same', async () => {
  await using world = new World();
  const writer = (name: string): Controller => ({
    ...world.controller(name, async () => undefined),
    outputs: ['vms'],
  });
  assert.throws(() => world.reconcile(writer('one'), writer('two')), /one and two both write vms/);
});

test('a step is taken at once for a VM that somebody asks for, seen or not', async () => {
  await using world = new World();
  const steps: string[] = [];
  const reconciler = world.reconcile(
    world.controller('makes', async (uid) => {
      steps.push(uid);
      return undefined;
    }),
  );
  reconciler.wake('makes', 'new');
  await until('it is made', () => steps.length > 0);
  assert.deepEqual(steps, ['new']);
});

test('what failed because the hypervisor was away is tried as soon as it is back, be it seen or not, and nothing else is', async () => {
  await using world = new World();
  world.firstDelayMs = 600_000;
  const steps: string[] = [];
  const fails = (name: string, error: unknown, again?: Again) =>
    world.controller(name, async (uid) => {
      steps.push(`${name} ${uid}`);
      if (again !== undefined) return { ...again, failure: error };
      throw error;
    });
  const reconciler = world.reconcile(
    fails('is-away', new AgentError('HYPERVISOR_UNREACHABLE', 'away')),
    fails('knows-when', new AgentError('HYPERVISOR_TIMEOUT', 'away'), { afterMs: 600_000 }),
    fails('has-failed', new AgentError('HYPERVISOR_FAILURE', 'no')),
  );
  const untilSteps = (count: number) =>
    until(`there are ${count} steps`, () => {
      const depth = reconciler.states().reduce((sum, state) => sum + state.depth, 0);
      return steps.length === count && depth === 0;
    });
  world.set('web', 'off');
  await untilSteps(3);
  reconciler.wake('is-away', 'new');
  await untilSteps(4);
  world.return();
  await untilSteps(7);
  assert.deepEqual(steps.slice(4).toSorted(), ['is-away new', 'is-away web', 'knows-when web']);
  world.return();
  await untilSteps(10);
});

test('what still tried when the hypervisor came back is tried once more at once', async () => {
  await using world = new World();
  world.firstDelayMs = 600_000;
  const { promise: isBack, resolve } = Promise.withResolvers<void>();
  let steps = 0;
  world.reconcile(
    world.controller('waits', async (uid) => {
      steps += 1;
      if (steps > 1) {
        world.set(uid, undefined);
        return undefined;
      }
      await isBack;
      throw new AgentError('HYPERVISOR_UNREACHABLE', 'away');
    }),
  );
  world.set('web', 'off');
  await until('it tries', () => steps === 1);
  world.return();
  // Several looks later it is known.
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  resolve();
  await until('it is right', () => world.wrong.size === 0);
});
