import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../../../src/core/errors.ts';
import { DefinitionCache } from '../../../../src/drivers/libvirt/definition-cache.ts';
import { DomainReader } from '../../../../src/drivers/libvirt/domain-reader.ts';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { DriverCalls } from '../../../../src/drivers/libvirt/driver-calls.ts';
import type {
  CallOptions,
  DriverSupervisor,
} from '../../../../src/drivers/libvirt/driver-supervisor.ts';

type Driver = Pick<DriverSupervisor, 'call'>;

const never = new AbortController().signal;
const XML = { live: '<domain><name>of-somebody-else</name></domain>', persistent: undefined };
const SHUTOFF = 5;

function recordsOf(count: number): readonly DomainRecord[] {
  return Array.from({ length: count }, (_, at) => ({
    uid: `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`,
    name: `vm-${at}`,
    runId: undefined,
    state: SHUTOFF,
    reason: 0,
    persistent: true,
    statistics: undefined,
  }));
}

/** A driver that takes as many calls as it is given, and begins a few of them. Each has its deadline from when it is given. */
class SlowDriver implements Driver {
  readonly records: readonly DomainRecord[];
  readonly #readMs: number;
  readonly #hanging: ReadonlySet<string>;
  mostAtOnce = 0;
  #reading = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(count: number, readMs: number, hanging = 0) {
    this.records = recordsOf(count);
    this.#readMs = readMs;
    this.#hanging = new Set(this.records.slice(0, hanging).map(({ uid }) => uid));
  }

  call: Driver['call'] = async (operation, values, options) => {
    if (operation === 'list') return this.records as never;
    this.#reading += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#reading);
    try {
      return (await this.#read(values[0] as string, options)) as never;
    } finally {
      this.#reading -= 1;
    }
  };

  async #read(uid: string, { action, timeoutMs = 10_000 }: CallOptions) {
    const deadline = sleep(timeoutMs, 'late', { ref: false });
    const turn = this.#hanging.has(uid) ? deadline : this.#turn.then(() => sleep(this.#readMs));
    if (!this.#hanging.has(uid)) this.#turn = turn;
    if ((await Promise.race([turn, deadline])) !== 'late') return XML;
    throw new AgentError('HYPERVISOR_TIMEOUT', `Cannot ${action}: libvirt did not answer`);
  }
}

function readerOf(driver: Driver): DomainReader {
  const cache = new DefinitionCache();
  const calls = new DriverCalls(driver, cache, 10_000);
  return new DomainReader({ driver, calls, cache, isLeaving: () => false, logger: undefined });
}

test('many VMs are all read by the first listing, though that takes longer than one may be waited for', async () => {
  const driver = new SlowDriver(150, 10);
  const listed = await readerOf(driver).list(never);
  assert.equal(listed.filter(({ isRead }) => !isRead).length, 0);
  assert.ok(driver.mostAtOnce <= 8, `${driver.mostAtOnce} were asked for at once`);
});

test('VMs that hang do not hold up the others', async () => {
  const driver = new SlowDriver(60, 1, 40);
  const startedMs = performance.now();
  const listed = await readerOf(driver).list(never);
  assert.equal(listed.filter(({ isRead }) => !isRead).length, 40);
  // Five after the other, of which each may take a second.
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs < 4_000, `${tookMs} ms`);
});

test('a listing that is given up reads no further', async () => {
  const driver = new SlowDriver(100, 5);
  const listing = readerOf(driver).list(AbortSignal.timeout(20));
  await assert.rejects(listing, { name: 'TimeoutError' });
  assert.ok(driver.mostAtOnce <= 8);
});

test('a VM that a disk error has paused says whether its storage is full, and is not asked each time', async () => {
  const [PAUSED, USER, IO_ERROR] = [3, 1, 5];
  for (const [reason, answer, told] of [
    [IO_ERROR, true, 'no-space'],
    [IO_ERROR, false, 'io-error'],
    // libvirt does not say.
    [IO_ERROR, undefined, 'io-error'],
    [USER, true, 'user'],
  ] as const) {
    let asked = 0;
    const call: Driver['call'] = async (operation) => {
      if (operation === 'list') {
        return recordsOf(1).map((record) => ({ ...record, state: PAUSED, reason })) as never;
      }
      if (operation !== 'isStorageFull') return XML as never;
      asked += 1;
      if (answer === undefined) throw new AgentError('HYPERVISOR_TIMEOUT', 'It takes too long');
      return answer as never;
    };
    const reader = readerOf({ call });
    for (let listing = 0; listing < 3; listing += 1) {
      const [vm] = await reader.list(never);
      assert.equal(vm?.stateReason, told);
    }
    assert.equal(asked, reason === IO_ERROR ? 1 : 0);
  }
});
