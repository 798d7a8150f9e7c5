import { randomUUID } from 'node:crypto';
import { ProgressPrinter } from '../../src/cli/progress/progress-printer.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';
import { type Migration, MigrationPhase } from '../../src/client/api.ts';
import { knownFigures } from '../../src/client/known-figures.ts';
import { durationMs } from '../../src/client/time.ts';
import { followMigration } from '../../src/client/watches.ts';
import { standardOutput } from '../core/output.ts';
import { LabError } from '../core/project.ts';
import { step } from '../core/steps.ts';
import type { ConsoleWatcher } from '../guest/console-watcher.ts';
import { createDemoDisk } from '../guest/demo-disk.ts';
import type { DemoGuest } from '../guest/demo-guest.ts';
import { connectAgent, createDemoVm, findConsoleLog, watchConsole } from '../guest/demo-vm.ts';
import type { Lab } from '../lab.ts';
import type { MigrationReport } from './report.ts';
import { checkDisk, checkMemory, findSwitchover } from './switchover.ts';

export const DEMO_VM = 'demo';

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
  const vm = await step(
    `Creating VM ${DEMO_VM} on node a, with a disk that both nodes share`,
    async () => {
      const disk = await createDemoDisk(lab.plan.sharedImages, DEMO_VM, signal);
      return createDemoVm(client, { name: DEMO_VM, guest, disk }, signal);
    },
  );
  const log = await findConsoleLog(a, vm.metadata?.uid ?? '', signal);
  using source = watchConsole(a, log);
  using destination = watchConsole(b, log);
  await step(
    'Waiting until the guest has filled its memory, and writes to it and to its disk',
    () => source.waitFor('The guest', BOOT_TIMEOUT_MS, () => worksOnAll(source), signal),
  );
  console.log(`Migrating VM ${DEMO_VM} from node a to node b`);
  const migration = await migrate(client, signal);
  await step(
    'Waiting until the guest has checked all its memory and its disk on node b',
    () => waitForChecks(destination, signal),
    (isDecided) => (isDecided ? '' : 'it has not'),
  );
  return reportOf(migration, source, destination);
}

function worksOnAll({ passes, diskPasses }: ConsoleWatcher): boolean {
  return passes.length > 0 && diskPasses.length > 0;
}

/** Moves the demo VM and shows how far it is. Fails if it stays where it was. */
async function migrate(client: AgentClient, signal: AbortSignal): Promise<Migration> {
  const id = randomUUID();
  const spec = { virtualMachine: { name: DEMO_VM }, destination: { nodeName: 'b' } };
  await client.migrations.start(id, spec, { signal });
  const printer = new ProgressPrinter(standardOutput());
  let last: Migration | undefined;
  try {
    for await (const migration of followMigration(client, id, { signal })) {
      printer.show(migration);
      last = migration;
    }
  } finally {
    printer.clear();
  }
  if (last?.status?.phase === MigrationPhase.MIGRATION_PHASE_COMPLETED) return last;
  throw new LabError(`The migration failed: ${last?.status?.reason} ${last?.status?.message}`);
}

/** False if the guest says nothing either way in time. */
async function waitForChecks(destination: ConsoleWatcher, signal: AbortSignal): Promise<boolean> {
  const isDecided = () =>
    destination.alarms.length > 0 ||
    ![checkMemory(destination), checkDisk(destination)].includes('not verified');
  try {
    await destination.waitFor('The check', VERIFY_TIMEOUT_MS, isDecided, signal);
    return true;
  } catch (error) {
    if (error instanceof LabError && !signal.aborted) return false;
    throw error;
  }
}

function reportOf(
  migration: Migration,
  source: ConsoleWatcher,
  destination: ConsoleWatcher,
): MigrationReport {
  const told = migration.status?.result;
  const result = told && knownFigures(told);
  const switchover = findSwitchover(source, destination);
  if (switchover === undefined) throw new LabError('The guest has not been heard on both nodes');
  return {
    totalMs: result?.totalTime && durationMs(result.totalTime),
    downtimeMs: result?.downtime && durationMs(result.downtime),
    memoryBytes: result?.memoryProcessedBytes,
    wireBytes: result?.wireBytes,
    iterations: result?.iterations,
    switchover,
    memory: checkMemory(destination),
    disk: checkDisk(destination),
  };
}
