import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { until } from '../../../fixtures/until.ts';
import type { TwoNodes } from '../migration/two-nodes.ts';
import { manifestOf, NEW, type Story, stateOf } from './stories.ts';

const never = new AbortController().signal;

/** Where the disk of a volume is made on every node of these tests. */
const fileOf = ({ uid }: Pick<VmDefinition, 'uid'>, volume: string) =>
  `/srv/disks/${uid}-${volume}.qcow2`;

const DATA = { name: 'data', size: '1Gi', kind: 'disk', cache: 'none' } as const;

/** Of disks that the agent makes: whoever is killed, each is there once, and none that nobody has. */
export const DISK_STORIES: readonly Story[] = [
  {
    kind: 'create',
    name: 'a create with disks',
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    parameters: () => ({
      manifest: manifestOf({ ...NEW, spec: withDisks(NEW) }, { disk: '10Gi' }),
      reservationId: undefined,
    }),
    check: async (nodes) => {
      assert.equal(await stateOf(nodes, NEW.uid), 'running');
      await assertDisks(nodes, NEW.uid, ['root', 'data']);
    },
    steps: 12,
  },
  {
    kind: 'apply',
    name: 'an apply that adds a disk',
    result: 'CHANGED',
    parameters: ({ vm }) => ({
      manifest: manifestOf({ ...vm, spec: withDisks(vm) }, {}, 'Once'),
      updateMask: undefined,
      generation: undefined,
    }),
    check: async (nodes) => {
      await assertDisks(nodes, nodes.vm.uid, ['data']);
      await untilLive(nodes, ['data']);
    },
    steps: 8,
  },
  {
    kind: 'apply',
    name: 'an apply that takes a disk out',
    result: 'CHANGED',
    prepare: runWithDisk,
    parameters: ({ vm }) => ({
      manifest: manifestOf(vm, {}, 'Once'),
      updateMask: undefined,
      generation: undefined,
    }),
    check: (nodes) => untilLive(nodes, []),
    steps: 8,
  },
  {
    kind: 'apply',
    name: 'an apply that makes a disk larger',
    result: 'CHANGED',
    prepare: runWithDisk,
    parameters: ({ vm }) => ({
      manifest: manifestOf({ ...vm, spec: withDisks(vm, '2Gi') }, {}, 'Once'),
      updateMask: undefined,
      generation: undefined,
    }),
    check: async (nodes) => {
      const { source, vm } = nodes;
      await untilLive(nodes, ['data']);
      const { definition } = (await source.find(vm.uid)) ?? {};
      assert.equal(definition?.madeDisks['data']?.bytes, 2 * 2 ** 30);
      assert.equal(source.hypervisor.devices.sizes.get(fileOf(vm, 'data')), 2 * 2 ** 30);
    },
    steps: 8,
  },
  {
    kind: 'delete',
    name: 'a delete with its disks',
    prepare: async ({ source, vm }) => {
      const path = fileOf(vm, 'data');
      const disk = { path, format: 'qcow2', bytes: 2 ** 30 } as const;
      await source.diskFiles.make({ ...disk, owner: undefined }, never);
      source.diskFiles.write(path);
      const spec = withDisks(vm);
      await source.hypervisor.domains.define({ ...vm, spec, madeDisks: { data: disk } }, never);
    },
    parameters: () => ({ force: true, deleteDisks: true }),
    check: async ({ source, vm }) => {
      assert.equal(await source.find(vm.uid), undefined);
      assert.deepEqual(source.diskFiles.paths, []);
    },
    steps: 10,
  },
];

/** The VM that runs has the disk. */
async function runWithDisk({ source, vm }: TwoNodes): Promise<void> {
  const { domains, devices } = source.hypervisor;
  const disk = { path: fileOf(vm, 'data'), format: 'qcow2', bytes: 2 ** 30 } as const;
  await source.diskFiles.make({ ...disk, owner: undefined }, never);
  await domains.define({ ...vm, spec: withDisks(vm), madeDisks: { data: disk } }, never);
  await devices.changeLive(vm.uid, never);
}

/** What runs has these of the volumes that the agent makes, and says so. */
async function untilLive({ source, vm }: TwoNodes, volumes: readonly string[]): Promise<void> {
  await until('it is so while it runs', async () => {
    const found = await source.find(vm.uid);
    const noted = (found?.liveDefinition ?? found?.definition)?.spec.template.spec.volumes;
    const names = [found?.volumes, noted].map((list = []) =>
      list.map(({ name }) => name).filter((name) => name === DATA.name),
    );
    return names.every((list) => isDeepStrictEqual(list, volumes));
  });
}

function withDisks({ spec }: VmDefinition, size = DATA.size as string): VmDefinition['spec'] {
  const machine = spec.template.spec;
  const volumes = [...(machine.volumes ?? []), { ...DATA, size }];
  return { ...spec, template: { ...spec.template, spec: { ...machine, volumes } } };
}

async function assertDisks({ source }: TwoNodes, uid: string, volumes: readonly string[]) {
  const { definition } = (await source.find(uid)) ?? {};
  const paths = volumes.map((volume) => fileOf({ uid }, volume));
  const recorded = Object.values(definition?.madeDisks ?? {}).map(({ path }) => path);
  assert.deepEqual(recorded.toSorted(), paths.toSorted());
  assert.deepEqual(source.diskFiles.paths.toSorted(), paths.toSorted());
}
