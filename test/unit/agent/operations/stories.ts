import assert from 'node:assert/strict';

import { createHash, randomUUID } from 'node:crypto';
import {
  hasEnded,
  type OperationRequest,
  THE_NODE,
} from '../../../../src/agent/operations/operation.ts';

import { wantedOf } from '../../../../src/agent/vms/wanted-definition.ts';
import { isHypervisorAway } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { KERNEL_PATH, ROOT, type TestNode, TwoNodes } from '../migration/two-nodes.ts';

const never = new AbortController().signal;

/** Something that is asked for, and what must have come about whoever is killed meanwhile. */
export interface Story {
  readonly name?: string;
  readonly result?: string;
  readonly kind: OperationRequest['kind'];
  readonly parameters?: (nodes: TwoNodes) => OperationRequest['parameters'];
  /** The VM that it is about, where that is not the one that runs. */
  readonly vm?: OperationRequest['vm'];
  /** What the VM that runs has, and the one that is made gets. */
  readonly userData?: string;
  /** Left out: a disk. */
  readonly volumes?: Machine['volumes'];
  /** What the VM that runs has, and the one that is made gets. */
  readonly lifecycle?: Machine['lifecycle'];
  readonly prepare?: (nodes: TwoNodes) => Promise<unknown>;
  readonly check: (nodes: TwoNodes) => Promise<void>;
  /** Fewer steps would mean that the killing does not reach into the story. */
  readonly steps: number;
}

/** The VM that is made. */
export const NEW = tinyVm({ namespace: 'default', name: 'new', uid: randomUUID() });

const DRIVE = {
  name: 'setup',
  kind: 'cdrom',
  format: 'raw',
  cache: 'none',
  source: { file: { path: '/srv/images/setup.iso' } },
} as const;

const USER_DATA = '#cloud-config\npassword: hunter2\n';
const OTHER_USER_DATA = '#cloud-config\npassword: swordfish\n';

export const stateOf = async ({ source, vm }: TwoNodes, uid = vm.uid) =>
  (await source.find(uid))?.state;

/** One for each kind of operation. */
export const STORIES: readonly Story[] = [
  {
    kind: 'start',
    prepare: ({ source, vm }) => source.hypervisor.domains.destroy(vm.uid, never),
    check: async (nodes) => assert.equal(await stateOf(nodes), 'running'),
    steps: 8,
  },
  {
    kind: 'shutdown',
    check: async (nodes) => {
      assert.equal(await stateOf(nodes), 'stopped');
      const { definition } = (await nodes.source.find(nodes.vm.uid)) ?? {};
      assert.equal(definition?.intent, 'off');
    },
    steps: 8,
  },
  {
    kind: 'destroy',
    check: async (nodes) => assert.equal(await stateOf(nodes), 'stopped'),
    steps: 8,
  },
  {
    kind: 'suspend',
    check: async (nodes) => assert.equal(await stateOf(nodes), 'paused'),
    steps: 6,
  },
  {
    kind: 'resume',
    prepare: ({ source, vm }) => source.hypervisor.domains.suspend(vm.uid, never),
    check: async (nodes) => assert.equal(await stateOf(nodes), 'running'),
    steps: 6,
  },
  {
    kind: 'reset',
    check: async ({ source, vm }) => {
      assert.ok(source.hypervisor.calls.includes(`reset ${vm.uid}`));
      assert.equal((await source.find(vm.uid))?.state, 'running');
    },
    steps: 6,
  },
  {
    kind: 'restart',
    result: 'RESTARTED',
    check: async (nodes) => {
      const { source, vm } = nodes;
      assert.equal(await stateOf(nodes), 'running');
      const stops = source.hypervisor.calls.filter((call) => call === `shutdown ${vm.uid}`);
      assert.ok(stops.length > 0);
      assert.equal((await source.find(vm.uid))?.definition?.intent, 'on');
    },
    steps: 10,
  },
  {
    kind: 'eject',
    volumes: [ROOT, DRIVE],
    parameters: () => ({ volume: DRIVE.name }),
    result: 'EJECTED',
    check: async ({ source, vm }) => {
      const { volumes, definition, liveDefinition } = (await source.find(vm.uid)) ?? {};
      assert.deepEqual(
        volumes?.map(({ path }) => path),
        [ROOT.source?.file?.path, undefined],
      );
      assert.deepEqual([definition?.generation, liveDefinition], [vm.generation + 1, undefined]);
    },
    steps: 6,
  },
  {
    kind: 'delete',
    parameters: () => ({ force: true }),
    check: async (nodes) => {
      const { source, vm } = nodes;
      assert.equal(await source.find(vm.uid), undefined);
      assert.deepEqual(await source.privateFiles.listVms(never), []);
      assert.ok((await source.ownership()).find(vm.uid)?.isDeleted);
    },
    steps: 10,
  },
  {
    kind: 'create',
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    parameters: () => ({ manifest: manifestOf(NEW, {}), reservationId: undefined }),
    check: async (nodes) => {
      assert.equal(await stateOf(nodes, NEW.uid), 'running');
      assert.equal((await nodes.source.ownership()).find(NEW.uid)?.ownershipEpoch, 1);
    },
    steps: 10,
  },
  {
    kind: 'apply',
    name: 'an apply that creates a VM',
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    parameters: () => ({
      manifest: manifestOf(NEW, {}, 'Once'),
      updateMask: undefined,
      generation: undefined,
    }),
    check: async (nodes) => assert.equal(await stateOf(nodes, NEW.uid), 'running'),
    result: 'CREATED',
    steps: 10,
  },
  {
    kind: 'apply',
    result: 'CHANGED',
    parameters: ({ vm }) => ({
      manifest: manifestOf(vm, { memory: '32Mi' }),
      updateMask: undefined,
      generation: vm.generation,
    }),
    check: async ({ source, vm }) => {
      const definition = (await source.find(vm.uid))?.definition;
      assert.equal(definition?.generation, vm.generation + 1);
      assert.equal(definition.spec.template.spec.resources.memory, '32Mi');
    },
    steps: 8,
  },
  {
    kind: 'adopt',
    vm: { namespace: 'default', name: 'shop', uid: undefined },
    parameters: () => ({ domain: 'Shop' }),
    prepare: async ({ source: { hypervisor } }) => {
      await hypervisor.domains.define(foreign(), never);
      await hypervisor.domains.start(NEW.uid, never);
      hypervisor.rename(NEW.uid, 'Shop');
      hypervisor.addForeign(NEW.uid, { kept: ['graphics spice'], isAutostarted: true });
    },
    check: async (nodes) => {
      const { source } = nodes;
      const found = await source.find(NEW.uid);
      const { namespace, name, generation, intent, spec } = found?.definition ?? {};
      assert.deepEqual([namespace, name, generation, intent], ['default', 'shop', 1, 'on']);
      assert.equal(spec?.runStrategy, 'RerunOnFailure');
      assert.deepEqual([found?.state, found?.hypervisorName], ['running', 'Shop']);
      assert.deepEqual([found?.kept, found?.liveDefinition], [['graphics spice'], undefined]);
      assert.ok((await source.ownership()).isOwner(NEW.uid));
      const starts = source.hypervisor.calls.filter((call) => call.startsWith('start '));
      assert.equal(starts.filter((call) => call.endsWith(NEW.uid)).length, 1);
      await until('it is told', () => source.agent.inventory.findByUid(NEW.uid) !== undefined);
    },
    steps: 8,
  },
  {
    kind: 'cordon',
    vm: { ...THE_NODE, uid: undefined },
    parameters: () => ({ spec: { cordon: true, cordonReason: 'new disks' }, generation: 1 }),
    check: async ({ source }) => {
      assert.deepEqual(source.agent.cordon.spec, { cordon: true, cordonReason: 'new disks' });
      assert.equal(source.agent.cordon.generation, 2);
    },
    steps: 10,
  },
  {
    kind: 'create',
    name: 'a create with user data',
    userData: USER_DATA,
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    parameters: () => ({
      manifest: manifestOf(NEW, {}, 'Always', USER_DATA),
      reservationId: undefined,
    }),
    check: async (nodes) => {
      assert.equal(await stateOf(nodes, NEW.uid), 'running');
      await assertHasUserData(nodes, NEW.uid, USER_DATA);
    },
    steps: 14,
  },
  {
    kind: 'apply',
    name: 'an apply with other user data',
    userData: USER_DATA,
    result: 'CHANGED',
    parameters: ({ vm }) => ({
      manifest: manifestOf(vm, {}, 'Once', OTHER_USER_DATA),
      updateMask: undefined,
      generation: undefined,
    }),
    check: (nodes) => assertHasUserData(nodes, nodes.vm.uid, OTHER_USER_DATA),
    steps: 12,
  },
];

/** The VM that is made, as virsh would have made it. */
function foreign(): typeof NEW {
  const { template } = NEW.spec;
  const spec = { ...template.spec, kernel: { path: KERNEL_PATH } };
  return { ...NEW, spec: { ...NEW.spec, template: { ...template, spec } } };
}

/** A VM has its user data, and no operation has any. */
async function assertHasUserData({ source, vm }: TwoNodes, uid: string, userData: string) {
  const { privateFiles } = source;
  await until('only VMs have private files', async () => {
    const uids = await privateFiles.listVms(never);
    return uids.every((other) => other === uid || other === vm.uid);
  });
  const digest = createHash('sha256').update(userData).digest('hex');
  assert.deepEqual((await source.find(uid))?.definition?.privateFiles, { 'user-data': digest });
  const content = await privateFiles.read(uid, 'user-data', digest, never);
  assert.equal(Buffer.from(content).toString('utf8'), userData);
  assert.ok(!source.journal.text().includes(userData));
}

export function manifestOf(
  vm: typeof NEW,
  resources: object,
  runStrategy = 'Always',
  userData?: string,
  lifecycle?: Machine['lifecycle'],
): unknown {
  const { metadata, spec } = wantedOf(vm);
  const machine = spec.template.spec;
  const changed = {
    ...machine,
    kernel: { path: KERNEL_PATH },
    resources: { ...machine.resources, ...resources },
    ...(userData === undefined ? {} : { userData }),
    ...(lifecycle && { lifecycle }),
  };
  const template = { ...spec.template, spec: changed };
  return { metadata, spec: { ...spec, runStrategy, template } };
}

/** As a caller does that was told to: asks again, with the same id, whenever the agent or the hypervisor has gone. */
async function ask(node: TestNode, request: OperationRequest): Promise<void> {
  for (;;) {
    const { agent } = node;
    try {
      await Promise.race([agent.operations.submit(request, never), agent.life.death]);
      return;
    } catch (error) {
      if (isHypervisorAway(error) && !agent.life.killed) continue;
      if (!agent.life.killed) throw error;
      await until('there is another agent', () => node.agent !== agent);
    }
  }
}

/**
 * Tells a story in which something is killed: `arm` sees to that once everything is prepared, and returns what tells where
 * it was. False if the story came to its end before.
 */
export async function tell(
  story: Story,
  arm: (nodes: TwoNodes) => () => string | undefined,
): Promise<boolean> {
  const { userData, volumes, lifecycle } = story;
  using nodes = await TwoNodes.open(
    {},
    {
      ...(userData === undefined ? {} : { userData }),
      ...(volumes && { volumes }),
      ...(lifecycle && { lifecycle }),
    },
  );
  const { source } = nodes;
  await story.prepare?.(nodes);
  const whereKilled = arm(nodes);
  const { namespace, name, uid } = nodes.vm;
  const id = randomUUID();
  try {
    await ask(source, {
      id,
      kind: story.kind,
      vm: story.vm ?? { namespace, name, uid },
      parameters: story.parameters?.(nodes) ?? {},
      requestedBy: 'tester',
    });
    let outcome: string | undefined;
    await until('the operation ends', async () => {
      const { agent } = source;
      const operation = await Promise.race([agent.operations.get(id), agent.life.death]).catch(
        (error: unknown) => {
          if (agent.life.killed) return undefined;
          throw error;
        },
      );
      if (operation === undefined || !hasEnded(operation)) return false;
      outcome = `${operation.state} ${operation.result} ${operation.error?.message ?? ''}`;
      return true;
    });
    const { result = story.kind === 'delete' ? 'DELETED' : '' } = story;
    assert.equal(outcome, `succeeded ${result} `);
    await story.check(nodes);
    const { agent } = source;
    await until('nothing is locked', () => agent.locks.purposeOf(uid) === undefined);
    return whereKilled() !== undefined;
  } catch (error) {
    throw new Error(`Killed ${whereKilled() ?? 'nowhere'}`, { cause: error });
  }
}
