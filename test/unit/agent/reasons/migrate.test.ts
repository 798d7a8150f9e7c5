import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { MigrationSpec } from '../../../../src/agent/migration/migration.ts';
import { AgentError, isReason, type Reason } from '../../../../src/core/errors.ts';
import type { ImageInfo } from '../../../../src/drivers/images.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never, ROOT, TwoNodes } from '../migration/two-nodes.ts';
import { assertComplete, assertSpeaks, endOf, type Scenarios } from './attempts.ts';

interface Attempt {
  readonly nodes: TwoNodes;
  spec: Partial<MigrationSpec>;
  /** What happens once it copies. */
  whileCopying?: () => Promise<unknown> | void;
  /** Takes back what keeps the test from looking. */
  after?: () => void;
}

const PATH = ROOT.source?.file?.path ?? '';

function disk(image: Partial<ImageInfo>) {
  return ({ nodes }: Attempt) => nodes.destination.images.add(PATH, { format: 'qcow2', ...image });
}

function unusable(reason: NonNullable<ImageInfo['problem']>['reason']) {
  return disk({ problem: { reason, text: 'it is so' } });
}

/** What the other node says against VMs that come. */
function refused(reason: Reason) {
  return ({ nodes }: Attempt) => {
    nodes.destination.invalid = new AgentError(reason, 'Cannot take VM web: it is so');
  };
}

function failing(reason: Reason) {
  return ({ nodes }: Attempt) =>
    nodes.source.hypervisor.fail(
      'migrate',
      new AgentError(reason, 'Cannot migrate VM test/web: no'),
    );
}

const SCENARIOS = {
  foretold: {
    INVALID_REQUEST: (attempt) => {
      attempt.spec = { trustedVolumes: ['nothing'] };
    },
    VM_NOT_FOUND: (attempt) => {
      attempt.spec = { vm: { namespace: 'test', name: 'nobody', uid: undefined } };
    },
    VM_UID_MISMATCH: (attempt) => {
      attempt.spec = { vm: { namespace: 'test', name: 'web', uid: randomUUID() } };
    },
    VM_NOT_RUNNING: ({ nodes }) => nodes.source.hypervisor.domains.destroy(nodes.vm.uid, never),
    VM_PAUSED: ({ nodes }) => nodes.source.hypervisor.domains.suspend(nodes.vm.uid, never),
    VM_NOT_OWNED: ({ nodes: { source, vm } }) => source.agent.ownership.release(vm, 4, 'c'),
    VM_ALREADY_EXISTS: async ({ nodes: { destination, vm } }) => {
      await destination.hypervisor.domains.define({ ...vm, uid: randomUUID() }, never);
      await destination.agent.inventory.refresh(never);
    },
    VM_BUSY: ({ nodes }) => {
      nodes.source.hypervisor.obstacles = [{ kind: 'job' }];
    },
    MIGRATION_BLOCKED: ({ nodes }) => {
      nodes.source.hypervisor.obstacles = [{ kind: 'snapshots', count: 1 }];
    },
    NOT_SUPPORTED: refused('NOT_SUPPORTED'),
    FEATURE_NOT_SUPPORTED: ({ nodes }) => {
      nodes.destination.hypervisor.host.incomingSocket = { problem: 'there is none' };
    },
    CPU_INCOMPATIBLE: ({ nodes }) => {
      nodes.destination.hypervisor.host.cpuProblem = 'it lacks avx512f';
    },
    IMAGE_NOT_FOUND: ({ nodes }) => nodes.destination.images.remove(PATH),
    IMAGE_INVALID: unusable('IMAGE_INVALID'),
    IMAGE_IN_USE: disk({
      holders: [{ pid: 7, program: 'qemu-nbd', vmUid: undefined, vmName: '' }],
    }),
    IMAGE_NOT_ALLOWED: unusable('IMAGE_NOT_ALLOWED'),
    IMAGE_NOT_READABLE: unusable('IMAGE_NOT_READABLE'),
    IMAGE_UNREACHABLE: unusable('IMAGE_UNREACHABLE'),
    DEVICE_IN_USE: unusable('DEVICE_IN_USE'),
    NETWORK_NOT_FOUND: ({ nodes }) => nodes.destination.bridges.remove('br0'),
    HOOK_NOT_ALLOWED: refused('HOOK_NOT_ALLOWED'),
    INVALID_SPEC: refused('INVALID_SPEC'),
    NODE_CAPACITY_EXCEEDED: ({ nodes: { destination } }) => {
      const { capacity } = destination.agent;
      const hog = { vmUid: randomUUID(), namespace: 'test', name: 'hog' };
      capacity.keep({ ...hog, amounts: capacity.allocatable });
    },
    NODE_CORDONED: ({ nodes }) =>
      nodes.destination.agent.cordon.update({ cordon: true }, undefined),
    NODE_SHUTTING_DOWN: ({ nodes }) =>
      nodes.destination.agent.shutdown.shutDown(
        { timeoutMs: 600_000, requestedBy: 'test', dryRun: false },
        never,
      ),
    PEER_UNKNOWN: (attempt) => {
      attempt.spec = { destinationNode: 'c' };
    },
    PEER_UNREACHABLE: ({ nodes }) => {
      nodes.source.wire.unreachable = true;
    },
    PEER_INCOMPATIBLE: ({ nodes }) => {
      const { incoming } = nodes.destination.agent;
      const shakeHands = incoming.handshake.bind(incoming);
      incoming.handshake = async (...asked) => ({ ...(await shakeHands(...asked)), protocol: 99 });
    },
    STATE_NOT_READY: async (attempt) => {
      const { hypervisor, agent } = attempt.nodes.source;
      const dark = tinyVm({ name: 'dark', namespace: 'test' });
      await agent.ownership.own(dark);
      hypervisor.keepUnread(dark.uid);
      await hypervisor.domains.define(dark, never);
      attempt.spec = { vm: { namespace: 'test', name: 'dark', uid: undefined } };
    },
    HYPERVISOR_UNREACHABLE: (attempt) => {
      const { hypervisor } = attempt.nodes.source;
      hypervisor.disconnect();
      attempt.after = () => hypervisor.reconnect();
    },
    HYPERVISOR_TIMEOUT: ({ nodes }) => {
      const slow = new AgentError('HYPERVISOR_TIMEOUT', 'Cannot read the host: it is slow');
      nodes.source.hypervisor.fail('getInfo', slow, 2);
    },
  },
  found: {
    HYPERVISOR_REFUSED: failing('HYPERVISOR_REFUSED'),
    HYPERVISOR_FAILURE: failing('HYPERVISOR_FAILURE'),
    STORAGE_FULL: (attempt) => {
      const { journal } = attempt.nodes.source;
      journal.setRoom(0);
      attempt.after = () => journal.setRoom(Number.POSITIVE_INFINITY);
    },
    JOURNAL_FAILURE: (attempt) => {
      const { journal } = attempt.nodes.source;
      journal.setRoom(0, 'JOURNAL_FAILURE');
      attempt.after = () => journal.setRoom(Number.POSITIVE_INFINITY);
    },
    MIGRATION_ALREADY_EXISTS: async ({ nodes: { destination, id, vm } }) => {
      // The other node was told before that this one is not wanted.
      await destination.agent.incoming.release(id, vm.uid, { outcome: 'abort' }, 'a', never);
    },
    MIGRATION_FAILED: ({ nodes }) => {
      nodes.source.hypervisor.switchoverEnd = 'held';
    },
    MIGRATION_CANCELLED: (attempt) => {
      const { source, id } = attempt.nodes;
      attempt.whileCopying = () => source.agent.migrations.cancel(id);
    },
    MIGRATION_TIMEOUT: (attempt) => {
      attempt.spec = { timeoutMs: 20 };
      attempt.whileCopying = () => undefined;
    },
    STREAM_FAILED: (attempt) => {
      const { source, id } = attempt.nodes;
      attempt.whileCopying = () => source.transfers.fail(id, 'no lane for 60 s');
    },
  },
} as const satisfies Record<string, Scenarios<Attempt>>;

/** What becomes of the VM by what keeps it from moving, and not by the attempt. */
const STATES: Readonly<Partial<Record<Reason, string>>> = {
  VM_NOT_RUNNING: 'stopped',
  VM_PAUSED: 'paused',
  // A copy that another node owns is not run.
  VM_NOT_OWNED: 'stopped',
};

async function deed({ nodes, spec, whileCopying }: Attempt): Promise<void> {
  if (whileCopying === undefined) await nodes.start(spec);
  else {
    await nodes.copying(spec);
    await whileCopying();
  }
  const { reason, message } = await nodes.ended();
  if (reason !== undefined) throw new AgentError(reason, message);
}

async function plan({ nodes, spec }: Attempt): Promise<void> {
  const { blockers } = await nodes.source.agent.migrations.plan({ ...nodes.spec, ...spec }, never);
  const [first, ...more] = blockers;
  assert.deepEqual(more, []);
  if (first === undefined) return;
  throw new AgentError(first.reason, `Cannot migrate VM web: ${first.message}`);
}

for (const when of ['foretold', 'found'] as const) {
  test(`what migrate can end with, and ${when === 'foretold' ? 'its plan says' : 'no plan knows'}, is listed`, () => {
    assertComplete('migrate', when, SCENARIOS[when]);
  });
  for (const [reason, arrange] of Object.entries(SCENARIOS[when])) {
    if (!isReason(reason)) continue;
    test(`migrate that ends as ${reason} leaves the VM where it was, and was ${when} so`, async () => {
      const networks = [{ name: 'lan', type: 'bridge', bridge: 'br0' }] as const;
      using nodes = await TwoNodes.open({}, { networks: [...networks] });
      const attempt: Attempt = { nodes, spec: {} };
      await arrange(attempt);
      const planned = await endOf(plan(attempt));
      const error = await endOf(deed(attempt));
      assert.ok(error, 'It went well');
      assert.equal(error.reason, reason, error.message);
      assertSpeaks(error);
      if (when === 'found') assert.equal(planned?.message, undefined);
      else assert.deepEqual([planned?.reason, planned?.message], [reason, error.message]);
      attempt.after?.();
      const { state } = (await nodes.source.find(nodes.vm.uid)) ?? {};
      assert.equal(state, STATES[reason] ?? 'running');
    });
  }
}
