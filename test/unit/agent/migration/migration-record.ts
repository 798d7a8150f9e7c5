import type { MigrationRecord } from '../../../../src/agent/migration/migration-record.ts';

export function migrationRecord(id: string, patch: Partial<MigrationRecord> = {}): MigrationRecord {
  return {
    id,
    role: 'source',
    vmUid: '6f9f5a54-6f0c-4b3e-9d0f-0b7f2f3c7a01',
    vmNamespace: 'default',
    vmName: 'web',
    spec: {
      vm: { namespace: 'default', name: 'web', uid: undefined },
      destinationNode: 'node-b',
      destinationAddress: undefined,
      maxDowntimeMs: 50,
      bandwidthBitsPerSecond: 0,
      timeoutMs: undefined,
    },
    labels: { team: 'blue' },
    peerNode: 'node-b',
    peerAddress: '10.0.0.2:7443',
    phase: 'preparing',
    cancelRequested: false,
    reason: undefined,
    message: '',
    startedAtMs: 1_000,
    endedAtMs: undefined,
    phases: [{ phase: 'preparing', startedAtMs: 1_000 }],
    progress: undefined,
    result: undefined,
    transferToken: 'ab'.repeat(32),
    ownershipEpoch: 2,
    definition: undefined,
    running: undefined,
    otherNodeOff: undefined,
    turnAtMs: undefined,
    blueprint: undefined,
    ...patch,
  };
}
