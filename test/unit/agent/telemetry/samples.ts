import type { Migration } from '../../../../src/agent/migration/migration.ts';
import type { Vm, VmPhase } from '../../../../src/agent/vms/vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const origin = { nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 1, revision: 1 };

/** A VM with statistics while it is on. */
export function sampleVm(name: string, phase: VmPhase): Vm {
  return {
    isRead: true,
    definition: tinyVm(
      { namespace: 'default', name, uid: `uid-of-${name}`, createdAtMs: 0 },
      { resources: { cpu: '2', memory: '512Mi' } },
    ),
    liveDefinition: undefined,
    phase,
    reason: '',
    message: '',
    conditions: [],
    accelerator: 'kvm',
    machineType: 'pc-q35-7.2',
    statistics:
      phase === 'stopped'
        ? undefined
        : {
            cpuTimeNs: 1n,
            vcpus: 2,
            memoryActualBytes: 512 * 1024 ** 2,
            memoryRssBytes: 300_000_000,
            diskReadBytes: 0n,
            diskWriteBytes: 0n,
            networkReceiveBytes: 0n,
            networkTransmitBytes: 0n,
            disks: [],
            cpuUsageCores: 0.25,
          },
    migration: undefined,
    run: undefined,
    restart: undefined,
    pendingChanges: [],
    drift: [],
    volumes: [],
    interfaces: [],
    origin,
  };
}

/** A migration that was completed, unless the patch says something else. */
export function sampleMigration(patch: Partial<Migration>): Migration {
  return {
    id: 'm-1',
    spec: {
      vm: { namespace: 'default', name: 'web', uid: undefined },
      destinationNode: 'node-b',
      destinationAddress: undefined,
      maxDowntimeMs: undefined,
      bandwidthBitsPerSecond: 0,
      timeoutMs: undefined,
    },
    labels: {},
    role: 'source',
    sourceNode: 'node-a',
    destinationNode: 'node-b',
    phase: 'completed',
    reason: undefined,
    message: '',
    startedAtMs: 0,
    endedAtMs: 12_000,
    progress: {
      memoryTotalBytes: 0n,
      memoryProcessedBytes: 0n,
      memoryRemainingBytes: 0n,
      memoryBytesPerSecond: 0n,
      dirtyBytesPerSecond: 0n,
      iteration: 1,
      wireBytes: 5n,
      estimatedMsLeft: undefined,
      fractionDone: 1,
      stalledMs: 0,
      channels: [],
    },
    result: {
      totalMs: 12_000,
      downtimeMs: 42,
      memoryProcessedBytes: 4_000n,
      wireBytes: 1_000n,
      iterations: 4,
      reconnects: 0,
    },
    phases: [],
    transport: 'stream',
    mode: 'precopy',
    origin,
    ...patch,
  };
}
