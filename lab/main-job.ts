import { randomUUID } from 'node:crypto';
import type { AgentClient } from '../src/client/agent-client.ts';
import { type Migration, MigrationPhase } from '../src/client/api.ts';
import { durationMs } from '../src/client/time.ts';
import { watchMigration } from '../src/client/watch-migration.ts';
import type { ConsoleWatcher } from './console-watcher.ts';
import type { DemoGuest } from './demo-guest.ts';
import { connectAgent, createDemoVm, findConsoleLog, watchConsole } from './demo-vm.ts';
import type { Lab } from './lab.ts';
import { type Progress, ProgressBar } from './progress-bar.ts';
import { LabError } from './project.ts';
import type { MigrationReport } from './report.ts';
import { step } from './steps.ts';
import { findSwitchover, isVerifiedAfterArrival } from './switchover.ts';

const DEMO_VM = 'demo';

const BOOT_TIMEOUT_MS = 60_000;
const VERIFY_TIMEOUT_MS = 60_000;

/** What the lab is for: starts a VM on node a, moves it to node b while it works, and asks the guest how that was. */
export async function runMainJob(
  lab: Lab,
  guest: DemoGuest,
  signal: AbortSignal,
): Promise<MigrationReport> {
  const [a, b] = [lab.node('a'), lab.node('b')];
  using client = await connectAgent(a);
  const vm = await step(`Creating VM ${DEMO_VM} on node a`, () =>
    createDemoVm(client, { name: DEMO_VM, guest }, signal),
  );
  const log = await findConsoleLog(a, vm.metadata?.uid ?? '', signal);
  using source = watchConsole(a, log);
  using destination = watchConsole(b, log);
  await step('Waiting until the guest has filled its memory and writes to it', () =>
    source.waitFor('The guest', BOOT_TIMEOUT_MS, () => source.passes.length > 0, signal),
  );
  console.log(`Migrating VM ${DEMO_VM} from node a to node b`);
  const migration = await migrate(client, signal);
  await step('Waiting until the guest has checked all its memory on node b', () =>
    destination.waitFor('The check', VERIFY_TIMEOUT_MS, () => isDecided(destination), signal),
  );
  return reportOf(migration, source, destination);
}

/** Moves the demo VM and shows how far it is. Fails if it stays where it was. */
async function migrate(client: AgentClient, signal: AbortSignal): Promise<Migration> {
  const id = randomUUID();
  const spec = { virtualMachine: { name: DEMO_VM }, destination: { nodeName: 'b' } };
  await client.migrations.start(id, spec, { signal });
  const bar = new ProgressBar(process.stdout);
  let last: Migration | undefined;
  for await (const migration of watchMigration(client, id, { signal })) {
    bar.show(progressOf(migration));
    last = migration;
  }
  bar.end();
  if (last?.status?.phase === MigrationPhase.MIGRATION_PHASE_COMPLETED) return last;
  throw new LabError(`The migration failed: ${last?.status?.reason} ${last?.status?.message}`);
}

/** All memory was checked, or something is wrong and no more checking will change that. */
function isDecided(destination: ConsoleWatcher): boolean {
  const isWrong = destination.bad > 0 || destination.alarms.length > 0;
  return isWrong || isVerifiedAfterArrival(destination);
}

function reportOf(
  migration: Migration,
  source: ConsoleWatcher,
  destination: ConsoleWatcher,
): MigrationReport {
  const result = migration.status?.result;
  const switchover = findSwitchover(source, destination);
  if (switchover === undefined) throw new LabError('The guest has not been heard on both nodes');
  return {
    totalMs: result?.totalTime === undefined ? 0 : durationMs(result.totalTime),
    downtimeMs: result?.downtime === undefined ? 0 : durationMs(result.downtime),
    memoryBytes: Number(result?.memoryProcessedBytes ?? 0n),
    wireBytes: Number(result?.wireBytes ?? 0n),
    iterations: result?.iterations ?? 0,
    switchover,
    isMemoryVerified: isVerifiedAfterArrival(destination),
  };
}

function progressOf(migration: Migration): Progress {
  const phase = migration.status?.phase ?? MigrationPhase.MIGRATION_PHASE_UNSPECIFIED;
  const progress = migration.status?.progress;
  const left = progress?.estimatedTimeLeft;
  return {
    phase: PHASE_NAMES[phase] ?? 'preparing',
    fraction: progress?.fractionDone ?? 0,
    memoryBytes: Number(progress?.memoryProcessedBytes ?? 0n),
    memoryTotalBytes: Number(progress?.memoryTotalBytes ?? 0n),
    bytesPerSecond: Number(progress?.memoryBytesPerSecond ?? 0n),
    dirtyBytesPerSecond: Number(progress?.dirtyBytesPerSecond ?? 0n),
    iteration: progress?.iteration ?? 0,
    timeLeftMs: left === undefined ? undefined : durationMs(left),
  };
}

const PHASE_NAMES: Readonly<Record<number, string>> = {
  [MigrationPhase.MIGRATION_PHASE_PREPARING]: 'preparing',
  [MigrationPhase.MIGRATION_PHASE_COPYING]: 'copying',
  [MigrationPhase.MIGRATION_PHASE_SWITCHING_OVER]: 'switching over',
  [MigrationPhase.MIGRATION_PHASE_CLEANING_UP]: 'cleaning up',
  [MigrationPhase.MIGRATION_PHASE_COMPLETED]: 'completed',
  [MigrationPhase.MIGRATION_PHASE_FAILED]: 'failed',
  [MigrationPhase.MIGRATION_PHASE_CANCELLED]: 'cancelled',
};
