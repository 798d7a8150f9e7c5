import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { AgentError, isReason, type Reason } from '../../../../src/core/errors.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { ImageInfo } from '../../../../src/drivers/images.ts';
import { fakeQcow2 } from '../../../fakes/fake-image-fetcher.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, uidOf } from '../vms/one-node.ts';
import { assertComplete, assertSpeaks, endOf, type Scenarios } from './attempts.ts';

const HOOK = '/etc/novacron/hooks/lease';
const DISK = '/srv/images/web.raw';
const HOLDER = { pid: 7, program: 'qemu-nbd', vmUid: undefined, vmName: '' };

/** What is about to be tried, which a scenario may change. */
interface Attempt {
  readonly node: OneNode;
  readonly journal: MemoryJournal;
  request: WantedVm;
  /** Given with the name of the VM that is to be started. */
  uid?: string;
  reservationId?: string;
  /** The VMs that there are; looked at by a scenario that makes that impossible. */
  before?: unknown;
  /** Takes back what keeps the test from looking. */
  after?: () => void;
  /** What happens while the operation goes on. */
  meanwhile?: (operationId: string) => Promise<unknown>;
}

type Machine = Readonly<Record<string, unknown>>;

function withMachine({ metadata, spec }: WantedVm, machine: Machine): WantedVm {
  return { metadata, spec: { ...spec, template: { spec: { ...spec.template.spec, ...machine } } } };
}

function withDiskAndNetwork(request: WantedVm): WantedVm {
  const root = { name: 'root', kind: 'disk', format: 'raw', source: { file: { path: DISK } } };
  const lan = { name: 'lan', type: 'bridge', bridge: 'br0' };
  return withMachine(request, { volumes: [root], networks: [lan] });
}

function disk(image: Partial<ImageInfo>) {
  return ({ node }: Attempt) => node.images.add(DISK, image);
}

function unusable(reason: NonNullable<ImageInfo['problem']>['reason']) {
  return disk({ problem: { reason, text: 'it is so' } });
}

function failing(method: 'define' | 'start', reason: Reason) {
  return ({ node }: Attempt) =>
    node.hypervisor.fail(method, new AgentError(reason, 'Cannot start VM test/web: no'), 9);
}

async function fill({ node }: Attempt): Promise<void> {
  for (const name of ['one', 'two']) await node.create(newRequest(name));
}

function goDown({ node }: Attempt) {
  const request = { timeoutMs: 600_000, requestedBy: 'test', dryRun: false };
  return node.agent.shutdown.shutDown(request, never);
}

/** It is about a VM that this node owns and that cannot be read. */
async function darken(attempt: Attempt): Promise<void> {
  const { node } = attempt;
  attempt.request = newRequest('dark');
  const dark = tinyVm({ name: 'dark', uid: uidOf(attempt.request) });
  await node.ownership.own(dark);
  node.hypervisor.keepUnread(dark.uid);
  await node.hypervisor.domains.define(dark, never);
}

function withoutRoom(reason: 'STORAGE_FULL' | 'JOURNAL_FAILURE') {
  return (attempt: Attempt) => {
    attempt.journal.setRoom(0, reason);
    attempt.after = () => attempt.journal.setRoom(Number.POSITIVE_INFINITY);
  };
}

const AWAY: Scenarios<Attempt> = {
  HYPERVISOR_UNREACHABLE: async (attempt) => {
    attempt.before = await domainsOf(attempt);
    attempt.node.hypervisor.disconnect();
    attempt.after = () => attempt.node.hypervisor.reconnect();
  },
  HYPERVISOR_TIMEOUT: async (attempt) => {
    attempt.before = await domainsOf(attempt);
    const slow = new AgentError('HYPERVISOR_TIMEOUT', 'Cannot list the VMs: it is slow');
    attempt.node.hypervisor.fail('list', slow, 2);
  },
};

const OF_ITS_PARTS: Scenarios<Attempt> = {
  IMAGE_NOT_FOUND: ({ node }) => node.images.remove(DISK),
  IMAGE_INVALID: unusable('IMAGE_INVALID'),
  IMAGE_IN_USE: disk({ holders: [HOLDER] }),
  IMAGE_NOT_ALLOWED: unusable('IMAGE_NOT_ALLOWED'),
  IMAGE_NOT_READABLE: unusable('IMAGE_NOT_READABLE'),
  IMAGE_UNREACHABLE: unusable('IMAGE_UNREACHABLE'),
  DEVICE_IN_USE: unusable('DEVICE_IN_USE'),
  NETWORK_NOT_FOUND: ({ node }) => node.bridges.remove('br0'),
};

const OF_THE_NODE = (method: 'define' | 'start'): Scenarios<Attempt> => ({
  HYPERVISOR_REFUSED: failing(method, 'HYPERVISOR_REFUSED'),
  HYPERVISOR_FAILURE: failing(method, 'HYPERVISOR_FAILURE'),
  STORAGE_FULL: withoutRoom('STORAGE_FULL'),
  JOURNAL_FAILURE: withoutRoom('JOURNAL_FAILURE'),
  OPERATION_CANCELLED: (attempt) => {
    const goOn = attempt.node.hypervisor.block(method);
    attempt.meanwhile = async (id) => {
      await called(attempt, method);
      const cancelling = attempt.node.agent.operations.cancel(id, never);
      goOn();
      await cancelling;
    };
  },
});

function called({ node }: Attempt, method: string) {
  return until(`${method} is called`, () =>
    node.hypervisor.calls.some((call) => call.startsWith(`${method} `)),
  );
}

function withHook(request: WantedVm): WantedVm {
  return withMachine(request, { lifecycle: { preStart: { exec: { command: [HOOK] } } } });
}

function withImage(request: WantedVm, digest?: string): WantedVm {
  const source = 'https://images.example/web.qcow2';
  const image = digest === undefined ? { source } : { source, digest };
  return withMachine(request, { image, volumes: [] });
}

const CREATE = {
  foretold: {
    ...OF_ITS_PARTS,
    IMAGE_FETCH_FAILED: (attempt) => {
      attempt.request = withImage(attempt.request);
    },
    HOOK_NOT_ALLOWED: (attempt) => {
      attempt.node.hooks.setProblem(HOOK, 'it does not exist; put it there');
      attempt.request = withHook(attempt.request);
    },
    INVALID_SPEC: (attempt) => {
      attempt.request = newRequest('web', { memory: '32Mi' });
    },
    NOT_SUPPORTED: (attempt) => {
      attempt.request = withMachine(attempt.request, { devices: [{ type: 'gpu' }] });
    },
    FEATURE_NOT_SUPPORTED: (attempt) => {
      attempt.request = withMachine(attempt.request, { machineType: 'pc-q35-99.0' });
    },
    CPU_INCOMPATIBLE: (attempt) => {
      attempt.request = withMachine(attempt.request, { cpu: { model: 'no-such-model' } });
    },
    VM_ALREADY_EXISTS: async ({ node, request: { metadata, spec } }) => {
      await node.create({ metadata: { ...metadata, uid: randomUUID() }, spec });
    },
    VM_NOT_OWNED: async (attempt) => {
      const { namespace, name, uid = '' } = attempt.request.metadata;
      await attempt.node.ownership.release({ namespace, name, uid }, 4, 'b');
    },
    VM_BUSY: ({ node, request: { metadata } }) => {
      const { namespace, name } = metadata;
      node.capacity.keep({ vmUid: randomUUID(), namespace, name, amounts: {} });
    },
    NODE_CAPACITY_EXCEEDED: fill,
    NODE_CORDONED: ({ node }) => node.agent.cordon.update({ cordon: true }, undefined),
    NODE_SHUTTING_DOWN: goDown,
    RESERVATION_NOT_FOUND: (attempt) => {
      attempt.reservationId = randomUUID();
    },
    STATE_NOT_READY: darken,
    ...AWAY,
  },
  found: {
    IMAGE_DIGEST_MISMATCH: (attempt) => {
      const { contents } = attempt.node.fetcher;
      contents.set('https://images.example/web.qcow2', { content: fakeQcow2(2 ** 20) });
      attempt.request = withImage(attempt.request, `sha256:${'0'.repeat(64)}`);
    },
    ...OF_THE_NODE('define'),
    HOOK_FAILED: (attempt) => {
      attempt.node.hooks.setOutcome(HOOK, { failure: 'ended with exit code 3', output: 'no' });
      attempt.request = withHook(attempt.request);
    },
  },
} as const satisfies Record<string, Scenarios<Attempt>>;

async function giveHook({ node, request }: Attempt): Promise<void> {
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  await node.vms.apply(withHook(request), options, never);
}

const START = {
  foretold: {
    ...OF_ITS_PARTS,
    HOOK_NOT_ALLOWED: async (attempt) => {
      await giveHook(attempt);
      attempt.node.hooks.setProblem(HOOK, 'it does not exist; put it there');
    },
    INVALID_SPEC: ({ node }) => {
      node.images.add('/boot/vmlinuz', { fileId: 'same' });
      node.images.add(DISK, { fileId: 'same' });
      node.images.add('/srv/images/link.raw', { fileId: 'same' });
    },
    VM_NOT_FOUND: (attempt) => {
      attempt.request = newRequest('nobody');
    },
    VM_UID_MISMATCH: (attempt) => {
      attempt.uid = randomUUID();
    },
    VM_NOT_OWNED: async ({ node, request }) => {
      const { namespace, name } = request.metadata;
      await node.ownership.release({ namespace, name, uid: uidOf(request) }, 4, 'b');
    },
    VM_BUSY: async ({ node, request }) => {
      node.hypervisor.block('undefine');
      const { namespace, name } = request.metadata;
      const vm = { namespace, name, uid: undefined };
      const asked = { id: undefined, kind: 'delete', vm, parameters: {}, requestedBy: 'test' };
      await node.agent.operations.submit(asked as never, never);
    },
    RUN_STRATEGY_HALTED: async (attempt) => {
      const { node, request } = attempt;
      const halted = { ...request, spec: { ...request.spec, runStrategy: 'Halted' } };
      const options = { dryRun: false, updateMask: undefined, generation: undefined };
      await node.vms.apply(halted, options, never);
    },
    VM_PAUSED: async ({ node: { hypervisor, inventory }, request }) => {
      await hypervisor.domains.start(uidOf(request), never);
      await hypervisor.domains.suspend(uidOf(request), never);
      await inventory.refresh(never);
    },
    NODE_CAPACITY_EXCEEDED: fill,
    NODE_SHUTTING_DOWN: goDown,
    STATE_NOT_READY: darken,
    ...AWAY,
  },
  found: {
    ...OF_THE_NODE('start'),
    HOOK_FAILED: async (attempt) => {
      await giveHook(attempt);
      attempt.node.hooks.setOutcome(HOOK, { failure: 'ended with exit code 3', output: 'no' });
    },
    CPU_INCOMPATIBLE: failing('start', 'CPU_INCOMPATIBLE'),
    FEATURE_NOT_SUPPORTED: failing('start', 'FEATURE_NOT_SUPPORTED'),
    // One that waits for the hypervisor; what libvirt is doing already is done.
    OPERATION_CANCELLED: (attempt) => {
      const { hypervisor, agent } = attempt.node;
      const away = new AgentError('HYPERVISOR_UNREACHABLE', 'Cannot start VM test/web: it is away');
      hypervisor.fail('start', away, 1_000);
      attempt.meanwhile = async (id) => {
        await called(attempt, 'start');
        await agent.operations.cancel(id, never);
      };
    },
    OPERATION_SUPERSEDED: (attempt) => {
      const { node, request } = attempt;
      const goOn = node.hypervisor.block('start');
      attempt.meanwhile = async () => {
        await called(attempt, 'start');
        const { namespace, name } = request.metadata;
        const vm = { namespace, name, uid: undefined };
        const asked = { id: undefined, kind: 'destroy', vm, parameters: {}, requestedBy: 'test' };
        await node.agent.operations.submit(asked as never, never);
        goOn();
      };
    },
  },
} as const satisfies Record<string, Scenarios<Attempt>>;

const VERBS = {
  create: {
    scenarios: CREATE,
    prepare: async () => {},
    plan({ node, request, reservationId }: Attempt) {
      return node.create(request, {
        dryRun: true,
        ...(reservationId === undefined ? {} : { reservationId }),
      });
    },
    asked({ request, reservationId }: Attempt) {
      const { namespace, name, uid } = request.metadata;
      const parameters = { manifest: request, reservationId, ownershipEpoch: undefined };
      return { kind: 'create', vm: { namespace, name, uid }, parameters };
    },
  },
  start: {
    scenarios: START,
    async prepare(attempt: Attempt) {
      const link = { name: 'data', kind: 'disk', format: 'raw' };
      const volumes = [
        ...(attempt.request.spec.template.spec.volumes ?? []),
        { ...link, source: { file: { path: '/srv/images/link.raw' } } },
      ];
      const request = withMachine(attempt.request, { volumes });
      attempt.request = { ...request, spec: { ...request.spec, runStrategy: 'Manual' } };
      await attempt.node.create(attempt.request);
    },
    plan(attempt: Attempt) {
      return attempt.node.agent.operations.plan(VERBS.start.asked(attempt) as never, never);
    },
    asked({ request, uid }: Attempt) {
      const { namespace, name } = request.metadata;
      return { kind: 'start', vm: { namespace, name, uid }, parameters: {} };
    },
  },
} as const;

async function deed(attempt: Attempt, asked: object): Promise<unknown> {
  const { operations } = attempt.node.agent;
  const id = randomUUID();
  const request = { ...asked, id, requestedBy: 'test' } as never;
  const begun = await operations.submit(request, never);
  const [ended] = await Promise.all([operations.untilDone(begun, never), attempt.meanwhile?.(id)]);
  return ended;
}

async function domainsOf({ node }: Attempt) {
  const domains = await node.hypervisor.domains.list(never);
  return new Map(domains.map(({ hypervisorName, state }) => [hypervisorName, state]));
}

for (const verb of ['create', 'start'] as const) {
  const { scenarios } = VERBS[verb];
  for (const when of ['foretold', 'found'] as const) {
    test(`what ${verb} can end with, and ${when === 'foretold' ? 'a dry run says' : 'no dry run knows'}, is listed`, () => {
      assertComplete(verb, when, scenarios[when]);
    });
    for (const [reason, arrange] of Object.entries(scenarios[when])) {
      if (!isReason(reason)) continue;
      test(`${verb} that ends as ${reason} leaves all as it was, and was ${when} so`, async () => {
        const journal = new MemoryJournal();
        await using node = await OneNode.open({ journal });
        for (const path of [DISK, '/srv/images/link.raw']) node.images.add(path);
        const attempt: Attempt = { node, journal, request: withDiskAndNetwork(newRequest()) };
        await VERBS[verb].prepare(attempt);
        // What is listed while nobody asks would take the place of what the scenario has set up.
        const isQuiet = reason === 'STATE_NOT_READY' || reason === 'HYPERVISOR_TIMEOUT';
        if (!isQuiet) {
          node.agent.run();
          await until('all is listed', () => node.inventory.listedOnce);
        }
        await arrange(attempt);
        attempt.before ??= await domainsOf(attempt);
        const planned = await endOf(VERBS[verb].plan(attempt));
        const error = await endOf(deed(attempt, VERBS[verb].asked(attempt)));
        assert.ok(error, 'It went well');
        assert.equal(error.reason, reason, error.message);
        assertSpeaks(error);
        if (when === 'found') assert.equal(planned?.message, undefined);
        else assert.deepEqual([planned?.reason, planned?.message], [reason, error.message]);
        attempt.after?.();
        await until('all is as it was', async () => {
          return isDeepStrictEqual(await domainsOf(attempt), attempt.before);
        });
      });
    }
  }
}
