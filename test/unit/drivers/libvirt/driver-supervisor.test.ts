import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { FromDriver, ToDriver } from '../../../../src/drivers/libvirt/driver-protocol.ts';
import { DriverSupervisor } from '../../../../src/drivers/libvirt/driver-supervisor.ts';

const never = new AbortController().signal;

/** A driver process that says what the test wants it to. */
class FakeDriver extends EventEmitter {
  connected = true;
  pid: number | undefined = 1;
  exitCode: number | null = null;
  readonly signalCode = null;
  readonly told: ToDriver[] = [];
  isKilled = false;

  send(message: ToDriver): void {
    this.told.push(message);
  }

  kill(): void {
    this.isKilled = true;
    this.emit('exit', null, 'SIGKILL');
  }

  unref(): void {}
  ref(): void {}

  say(message: FromDriver): void {
    this.emit('message', message);
  }

  /** Answers the call that it was told of last. */
  answer(): void {
    const last = this.told.at(-1);
    assert.ok(last !== undefined && 'id' in last);
    this.say({ kind: 'result', id: last.id, value: undefined });
  }
}

class Supervised implements AsyncDisposable {
  readonly drivers: FakeDriver[] = [];
  readonly supervisor: DriverSupervisor;

  constructor(context: TestContext, launched?: FakeDriver) {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    this.supervisor = new DriverSupervisor({
      uri: 'qemu:///system',
      callWorkers: 1,
      stateDirectory: undefined,
      callTimeoutMs: 10_000,
      logger: undefined,
      launched: launched as unknown as ChildProcess | undefined,
      launch: () => {
        const driver = new FakeDriver();
        this.drivers.push(driver);
        return driver as unknown as ChildProcess;
      },
      onConnected: () => {},
      onDisconnected: () => {},
      onReport: () => {},
      onCallEnded: undefined,
    });
  }

  get newest(): FakeDriver {
    const driver = this.drivers.at(-1);
    assert.ok(driver);
    return driver;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.supervisor[Symbol.asyncDispose]();
  }
}

test('on a node where libvirt takes long to open it is given more time with each attempt', async (context) => {
  await using supervised = new Supervised(context);
  const { timers } = context.mock;
  for (const patienceMs of [5_000, 5_000, 10_000, 20_000, 40_000, 40_000]) {
    const driver = supervised.newest;
    driver.say({ kind: 'connecting' });
    timers.tick(patienceMs - 1);
    assert.equal(driver.isKilled, false, `${patienceMs}`);
    timers.tick(1);
    assert.equal(driver.isKilled, true, `${patienceMs}`);
    timers.tick(2_000);
  }
});

test('once a call has come to something, libvirt is expected to be as quick as ever', async (context) => {
  await using supervised = new Supervised(context);
  const { timers } = context.mock;
  for (let attempt = 0; attempt < 4; attempt += 1) {
    supervised.newest.say({ kind: 'connecting' });
    timers.tick(40_000);
    timers.tick(2_000);
  }
  supervised.newest.say({ kind: 'connecting' });
  supervised.newest.say({ kind: 'connected' });
  const call = supervised.supervisor.call('probe', [], { action: 'ask' }, never);
  await new Promise((resolve) => setImmediate(resolve));
  supervised.newest.answer();
  await call;
  supervised.newest.kill();
  timers.tick(2_000);
  const driver = supervised.newest;
  driver.say({ kind: 'connecting' });
  timers.tick(5_000);
  assert.equal(driver.isKilled, true);
});

test('a driver that was launched before is taken, unless it could not be spawned or has ended', async (context) => {
  const launched = new FakeDriver();
  await using taking = new Supervised(context, launched);
  assert.equal(taking.drivers.length, 0);
  assert.equal(launched.told[0]?.kind, 'begin');
  context.mock.timers.reset();
  const states: readonly Partial<FakeDriver>[] = [
    { pid: undefined },
    { connected: false },
    { exitCode: 1 },
  ];
  for (const state of states) {
    const bad: FakeDriver = new FakeDriver();
    Object.assign(bad, state);
    await using supervised = new Supervised(context, bad);
    assert.equal(supervised.drivers.length, 1);
    assert.deepEqual(bad.told, []);
    context.mock.timers.reset();
  }
});
