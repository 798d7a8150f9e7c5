import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { ConsoleWatcher } from '../../lab/guest/console-watcher.ts';
import { watchConsole } from '../../lab/guest/demo-vm.ts';
import {
  checkDisk,
  checkMemory,
  findSwitchover,
  type Switchover,
} from '../../lab/migration/switchover.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { NodeName } from '../../lab/plan/lab-plan.ts';
import { type Migration, MigrationPhase } from '../../src/client/api.ts';
import { toDuration } from '../../src/client/time.ts';
import { hasReason } from '../../src/core/errors.ts';
import { callStreamer } from '../../src/drivers/streamer/streamer-control.ts';
import type { TwoNodes } from './two-nodes.ts';

/** Long enough for a machine that does ten other things. */
export const PATIENCE_MS = 60_000;

export interface MigrateOptions {
  readonly bytesPerSecond?: number;
  readonly maxDowntimeMs?: number;
  readonly timeoutMs?: number;
  readonly address?: string;
}

/** Slow enough to do anything at leisure while memory is copied. */
export const SLOW: MigrateOptions = { bytesPerSecond: 1_000_000 };

/** The guest is stopped for its switchover while much is left to send, which then takes seconds. */
export const SLOW_SWITCHOVER: MigrateOptions = { bytesPerSecond: 10_000_000, maxDowntimeMs: 3_000 };

/** A VM that runs the demo guest and moves between the nodes. */
export class DemoVm {
  readonly name: string;
  readonly uid: string;
  readonly #log: string;
  readonly #nodes: TwoNodes;

  constructor(nodes: TwoNodes, vm: { name: string; uid: string; log: string }) {
    this.#nodes = nodes;
    this.name = vm.name;
    this.uid = vm.uid;
    this.#log = vm.log;
  }

  /** Looks at what the guest says from now on, on both nodes. */
  watch(): Sight {
    return new Sight(this.#nodes, this.#log);
  }

  spec(to: LabNode, options: MigrateOptions = {}) {
    const { bytesPerSecond, maxDowntimeMs, timeoutMs, address } = options;
    return {
      virtualMachine: { name: this.name },
      destination: { nodeName: to.name, address: address ?? '' },
      limits: {
        ...(bytesPerSecond !== undefined && { bandwidth: `${8 * bytesPerSecond}bps` }),
        ...(maxDowntimeMs !== undefined && { maxDowntime: toDuration(maxDowntimeMs) }),
        ...(timeoutMs !== undefined && { timeout: toDuration(timeoutMs) }),
      },
    };
  }

  async migrate(
    from: LabNode,
    signal: AbortSignal,
    options: MigrateOptions = {},
  ): Promise<MigrationUnderTest> {
    const id = randomUUID();
    const to = this.#nodes.other(from);
    const client = this.#nodes.client(from.name as NodeName);
    await client.migrations.start(id, this.spec(to, options), { signal });
    return new MigrationUnderTest(this.#nodes, from, id);
  }

  /** As `migrate`, once nothing else is done to it: an agent whose journal is new finds out first who owns it. */
  async migrateOnceFree(
    from: LabNode,
    signal: AbortSignal,
    options: MigrateOptions = {},
  ): Promise<MigrationUnderTest> {
    let migration: MigrationUnderTest | undefined;
    await waitUntil(
      `VM ${this.name} may migrate`,
      PATIENCE_MS,
      async () => {
        try {
          migration = await this.migrate(from, signal, options);
          return true;
        } catch (error) {
          if (hasReason(error, 'VM_BUSY')) return false;
          throw error;
        }
      },
      signal,
    );
    assert.ok(migration);
    return migration;
  }

  /** Moves it and waits until it has arrived, for tests that begin where another ended. */
  async moveFrom(from: LabNode, signal: AbortSignal): Promise<void> {
    const migration = await this.migrate(from, signal);
    await migration.expectCompleted(signal);
    await this.#nodes.expectNothingLeft(signal);
  }

  /** The one copy runs here, by the word of both libvirts; this node's agent owns it at the epoch. */
  async expectOnlyAt(node: LabNode, epoch: bigint, signal: AbortSignal): Promise<void> {
    const other = this.#nodes.other(node);
    await waitUntil(
      `VM ${this.name} running on node ${node.name}`,
      PATIENCE_MS,
      async () => (await this.state(node, signal)) === 'running',
      signal,
    );
    assert.equal(await this.state(other, signal), undefined, `a copy is on node ${other.name}`);
    const vm = await this.#nodes
      .client(node.name as NodeName)
      .vms.get({ name: this.name }, { signal });
    assert.equal(vm.status?.ownershipEpoch, epoch);
    assert.equal(vm.metadata?.uid, this.uid);
    const elsewhere = await this.#nodes.client(other.name as NodeName).vms.list({}, { signal });
    assert.deepEqual(
      elsewhere.virtualMachines.filter(({ metadata }) => metadata?.uid === this.uid),
      [],
    );
  }

  async epochAt(node: LabNode, signal: AbortSignal): Promise<bigint> {
    const client = this.#nodes.client(node.name as NodeName);
    const vm = await client.vms.get({ name: this.name }, { signal });
    return vm.status?.ownershipEpoch ?? 0n;
  }

  /** What libvirt calls it, such as `running`; undefined if it is not there. */
  async state(node: LabNode, signal: AbortSignal): Promise<string | undefined> {
    const virsh = ['virsh', '--quiet', '-c', 'qemu:///system', 'domstate', this.uid];
    const { code, stdout, stderr } = await node.tryRun(virsh, signal);
    if (code === 0) return stdout.trim();
    assert.match(stderr, /failed to get domain|Domain not found/);
    return undefined;
  }
}

/** What the guest says on the consoles of both nodes since this was made. */
export class Sight implements Disposable {
  readonly #nodes: TwoNodes;
  readonly #a: ConsoleWatcher;
  readonly #b: ConsoleWatcher;

  constructor(nodes: TwoNodes, log: string) {
    this.#nodes = nodes;
    this.#a = watchConsole(nodes.a, log);
    this.#b = watchConsole(nodes.b, log);
  }

  console(node: LabNode): ConsoleWatcher {
    return node === this.#nodes.a ? this.#a : this.#b;
  }

  /** The guest went over: its memory and disk are whole, and no heartbeat was lost or made twice. */
  async expectArrived(at: LabNode, signal: AbortSignal): Promise<Switchover> {
    const [here, there] = [this.console(at), this.console(this.#nodes.other(at))];
    await here.waitFor(
      `A check of all memory and disk on node ${at.name}`,
      PATIENCE_MS,
      () => isBad(here) || (here.passes.length >= 2 && here.diskPasses.length >= 2),
      signal,
    );
    there.read();
    assert.deepEqual(findings(here), SOUND);
    assert.deepEqual([checkMemory(here), checkDisk(here)], ['verified', 'verified']);
    const switchover = findSwitchover(there, here);
    assert.ok(switchover !== undefined, 'the guest was not heard on both nodes');
    const { lost, duplicated } = switchover;
    assert.deepEqual({ lost, duplicated }, { lost: 0, duplicated: 0 }, JSON.stringify(switchover));
    return switchover;
  }

  /** The guest never ran elsewhere, lost no heartbeat, and its memory and disk are whole by checks that began now. */
  async expectStayed(at: LabNode, signal: AbortSignal): Promise<void> {
    const [here, there] = [this.console(at), this.console(this.#nodes.other(at))];
    here.read();
    const [passes, diskPasses] = [here.passes.length, here.diskPasses.length];
    await here.waitFor(
      `A check of all memory and disk on node ${at.name}`,
      PATIENCE_MS,
      () =>
        isBad(here) ||
        (here.passes.length >= passes + 2 && here.diskPasses.length >= diskPasses + 2),
      signal,
    );
    there.read();
    assert.deepEqual(findings(here), SOUND);
    assert.deepEqual(there.heartbeats, [], 'the guest has run on the other node');
    const counts = here.heartbeats.map(({ count }) => count);
    assert.notEqual(counts.length, 0, `the guest was not heard on node ${at.name}`);
    const first = counts[0] ?? 0;
    assert.deepEqual(
      counts,
      counts.map((_, index) => first + index),
    );
  }

  [Symbol.dispose](): void {
    this.#a[Symbol.dispose]();
    this.#b[Symbol.dispose]();
  }
}

const SOUND = { bad: 0, diskBad: 0, alarms: [] };

function findings({ bad, diskBad, alarms }: ConsoleWatcher) {
  return { bad, diskBad, alarms };
}

function isBad({ bad, diskBad, alarms }: ConsoleWatcher): boolean {
  return bad > 0 || diskBad > 0 || alarms.length > 0;
}

const { MIGRATION_PHASE_COMPLETED, MIGRATION_PHASE_FAILED, MIGRATION_PHASE_CANCELLED } =
  MigrationPhase;
const FINAL: readonly MigrationPhase[] = [
  MIGRATION_PHASE_COMPLETED,
  MIGRATION_PHASE_FAILED,
  MIGRATION_PHASE_CANCELLED,
];

/** A migration that a test has started. */
export class MigrationUnderTest {
  readonly id: string;
  readonly #nodes: TwoNodes;
  readonly #source: LabNode;

  constructor(nodes: TwoNodes, source: LabNode, id: string) {
    this.#nodes = nodes;
    this.#source = source;
    this.id = id;
  }

  async get(signal: AbortSignal): Promise<Migration> {
    return this.#client.migrations.get(this.id, { signal });
  }

  async cancel(signal: AbortSignal): Promise<Migration> {
    return this.#client.migrations.cancel(this.id, { signal });
  }

  /** Waits for exactly this phase; fails if it is missed. */
  async reach(phase: MigrationPhase, signal: AbortSignal): Promise<void> {
    await waitUntil(
      `Phase ${phase} of migration ${this.id}`,
      PATIENCE_MS,
      async () => {
        const { status } = await this.get(signal);
        const now = status?.phase ?? 0;
        assert.ok(now <= phase, `missed phase ${phase}: ${now} ${status?.message}`);
        return now === phase;
      },
      signal,
    );
  }

  /** Waits until memory goes over the wire. */
  async reachBytes(bytes: bigint, signal: AbortSignal): Promise<void> {
    await waitUntil(
      `${bytes} bytes of migration ${this.id}`,
      PATIENCE_MS,
      async () => {
        const { status } = await this.get(signal);
        assert.ok((status?.phase ?? 0) <= MigrationPhase.MIGRATION_PHASE_COPYING, 'too late');
        return (status?.progress?.wireBytes ?? 0n) >= bytes;
      },
      signal,
    );
  }

  /** The final state. The agent may be away for a while. */
  async end(signal: AbortSignal): Promise<Migration> {
    let last: Migration | undefined;
    try {
      return await waitUntil(
        `The end of migration ${this.id}`,
        PATIENCE_MS,
        async () => {
          last = await this.get(signal).catch((error: unknown) => {
            signal.throwIfAborted();
            if (error instanceof Error && /MIGRATION_NOT_FOUND/.test(error.message)) throw error;
            return last;
          });
          const ended = last?.status !== undefined && FINAL.includes(last.status.phase);
          return ended ? last : undefined;
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      const { phase, message } = last?.status ?? {};
      throw new Error(`Migration ${this.id} has not ended: phase ${phase} (${message})`, {
        cause: error,
      });
    }
  }

  async expectCompleted(signal: AbortSignal): Promise<Migration> {
    const migration = await this.end(signal);
    const { phase, reason, message } = migration.status ?? {};
    assert.deepEqual(
      { phase, reason, message },
      { phase: MIGRATION_PHASE_COMPLETED, reason: '', message: '' },
    );
    return migration;
  }

  /** Gives the message. */
  async expectFailed(reason: string, signal: AbortSignal): Promise<string> {
    const { status } = await this.end(signal);
    assert.deepEqual(
      { phase: status?.phase, reason: status?.reason },
      { phase: MIGRATION_PHASE_FAILED, reason },
      status?.message ?? '',
    );
    return status?.message ?? '';
  }

  /** Lets it go at full speed. */
  async unleash(signal: AbortSignal): Promise<void> {
    await this.setBandwidth(0, signal);
  }

  async setBandwidth(bytesPerSecond: number, signal: AbortSignal): Promise<void> {
    const socket = this.#source.outside(`run/novacron/transfers/${this.id}/control.sock`);
    const params = { bytesPerSecond };
    const call = { method: 'setBandwidth', params, timeoutMs: 5_000 } as const;
    await callStreamer({ id: this.id, socket }, call, signal);
  }

  get #client() {
    return this.#nodes.client(this.#source.name as NodeName);
  }
}
