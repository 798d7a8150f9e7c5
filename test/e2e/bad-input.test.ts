import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { totalmem } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import type { VmInput } from '../../src/client/vm-calls.ts';
import { AgentError } from '../../src/core/errors.ts';
import type { VolumeFormat } from '../../src/gen/novacron/agent/v1/virtual_machine.ts';

const IMAGE = '/run/image.raw';
const MACHINE = 'spec.template.spec';

const GOOD = { resources: { cpu: '1', memory: '64Mi' }, volumes: [volume('root')] };

function volume(name: string, change: object = {}) {
  return { name, format: 'raw', source: { file: { path: IMAGE } }, shared: true, ...change };
}

interface Change {
  readonly machine?: object;
  readonly metadata?: object;
  readonly runStrategy?: string;
}

/** A VM as a manifest would have it, however wrong. */
function vmWith({ machine = {}, metadata = {}, runStrategy = 'Manual' }: Change = {}): VmInput {
  const document = {
    metadata: { name: 'vm', ...metadata },
    spec: { runStrategy, template: { spec: { ...GOOD, ...machine } } },
  };
  return toVirtualMachineMessage(document as Parameters<typeof toVirtualMachineMessage>[0]);
}

/** What no client of ours can say. */
function withUnknownFormat(): VmInput {
  const vm = vmWith();
  const [first] = vm.spec?.template?.spec?.volumes ?? [];
  assert.ok(first !== undefined);
  first.format = 77 as VolumeFormat;
  return vm;
}

interface Bad {
  readonly what: string;
  readonly vm: VmInput;
  readonly reason: string;
  readonly grpcCode: number;
  readonly fields: readonly string[];
}

const INVALID = { reason: 'INVALID_SPEC', grpcCode: 3 };
const NOT_SUPPORTED = { reason: 'NOT_SUPPORTED', grpcCode: 12 };
const UNMET = { grpcCode: 9 };

const BAD: readonly Bad[] = [
  { what: 'nothing', vm: {}, ...INVALID, fields: ['metadata.name'] },
  {
    what: 'no machine',
    vm: { metadata: { name: 'vm' }, spec: {} },
    ...INVALID,
    fields: ['spec.template'],
  },
  {
    what: 'no memory',
    vm: vmWith({ machine: { resources: { cpu: '1' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'an amount of memory that is none',
    vm: vmWith({ machine: { resources: { cpu: '1', memory: '64MB' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'less memory than the node allows',
    vm: vmWith({ machine: { resources: { cpu: '1', memory: '8Mi' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'half a CPU',
    vm: vmWith({ machine: { resources: { cpu: '500m', memory: '64Mi' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.cpu`],
  },
  {
    what: 'nothing to boot from',
    vm: vmWith({ machine: { volumes: [] } }),
    ...INVALID,
    fields: [`${MACHINE}.image`],
  },
  {
    what: 'a volume without a format',
    vm: vmWith({ machine: { volumes: [volume('x', { format: undefined })] } }),
    ...INVALID,
    fields: [`${MACHINE}.volumes[0].format`],
  },
  {
    what: 'a volume of an unknown format',
    vm: withUnknownFormat(),
    ...INVALID,
    fields: [`${MACHINE}.volumes[0].format`],
  },
  {
    what: 'two volumes on one target, of one name and with one file',
    vm: vmWith({
      machine: { volumes: [volume('x', { target: 'vda' }), volume('x', { target: 'vda' })] },
    }),
    ...INVALID,
    fields: ['name', 'target', 'source.file.path'].map((key) => `${MACHINE}.volumes[1].${key}`),
  },
  {
    what: 'a name that is no DNS label',
    vm: vmWith({ metadata: { name: 'No_Label' } }),
    ...INVALID,
    fields: ['metadata.name'],
  },
  {
    what: 'a name that holds XML',
    vm: vmWith({ metadata: { name: "a'/><x" } }),
    ...INVALID,
    fields: ['metadata.name'],
  },
  {
    what: 'a label that holds XML',
    vm: vmWith({ metadata: { labels: { '<k>': '&' } } }),
    ...INVALID,
    // Both the key and the value.
    fields: ['metadata.labels["<k>"]', 'metadata.labels["<k>"]'],
  },
  {
    what: 'a garbage uid',
    vm: vmWith({ metadata: { uid: '../../etc/passwd' } }),
    ...INVALID,
    fields: ['metadata.uid'],
  },
  {
    what: 'what the agent cannot do yet',
    vm: vmWith({
      machine: { networks: [{ name: 'default' }], devices: [{ type: 'gpu' }], userData: 'x' },
    }),
    ...NOT_SUPPORTED,
    fields: ['networks', 'devices', 'userData'].map((key) => `${MACHINE}.${key}`),
  },
  {
    what: 'an image that is not there',
    vm: vmWith({ machine: { volumes: [volume('x', { source: { file: { path: '/run/no' } } })] } }),
    ...UNMET,
    reason: 'IMAGE_NOT_FOUND',
    fields: [`${MACHINE}.volumes[0].source.file.path`],
  },
  {
    what: 'an image of another format',
    vm: vmWith({ machine: { volumes: [volume('x', { format: 'qcow2' })] } }),
    ...UNMET,
    reason: 'IMAGE_INVALID',
    fields: [`${MACHINE}.volumes[0].format`],
  },
  {
    what: 'a file that is named as a block device',
    vm: vmWith({ machine: { volumes: [volume('x', { source: { block: { path: IMAGE } } })] } }),
    ...UNMET,
    reason: 'IMAGE_INVALID',
    fields: [`${MACHINE}.volumes[0].source.block.path`],
  },
  {
    what: 'a kernel that is not there',
    vm: vmWith({ machine: { kernel: { path: '/boot/none' } } }),
    ...UNMET,
    reason: 'IMAGE_NOT_FOUND',
    fields: [`${MACHINE}.kernel.path`],
  },
  {
    what: 'more memory than the node has',
    vm: vmWith({
      machine: { resources: { cpu: '1', memory: String(totalmem()) } },
      runStrategy: 'Once',
    }),
    ...UNMET,
    reason: 'NODE_CAPACITY_EXCEEDED',
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'a machine type that QEMU does not have',
    vm: vmWith({ machine: { machineType: 'pc-q35-99.9' } }),
    ...UNMET,
    reason: 'FEATURE_NOT_SUPPORTED',
    fields: [`${MACHINE}.machineType`],
  },
];

test('what cannot work is refused by name and leaves nothing behind', async (context) => {
  const { signal } = context;
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  await node.run(['truncate', '--size=1M', IMAGE], signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  using client = await connectAgent(node);

  const expectNothing = async (): Promise<void> => {
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
    const { virtualMachines } = await client.vms.list({}, { signal });
    assert.deepEqual(virtualMachines, []);
    using journal = new DatabaseSync(`${node.plan.directory}/state/journal.db`, { readOnly: true });
    // What was tried stays as history; nothing may go on.
    for (const left of ['ownership', 'migration', 'operation WHERE ended_at_ms IS NULL']) {
      const rows = journal.prepare(`SELECT * FROM ${left}`).all();
      assert.deepEqual(rows, [], `the journal's ${left}`);
    }
  };

  for (const { what, vm, reason, grpcCode, fields } of BAD) {
    await context.test(what, async () => {
      for (const dryRun of [false, true]) {
        const error = await failure(client.vms.create(vm, { signal, dryRun }));
        assert.equal(error.reason, reason, error.message);
        assert.equal((error.cause as { code?: number }).code, grpcCode);
        assert.deepEqual(
          error.violations.map(({ field }) => field),
          fields,
        );
      }
      await expectNothing();
    });
  }

  await context.test('a VM that libvirt itself cannot start', async () => {
    // Linux takes no kernel that is no kernel; QEMU notices only when it starts.
    const machine = { kernel: { path: IMAGE, initrd: guest.initrdPath } };
    const vm = vmWith({ machine, runStrategy: 'Once' });
    const error = await failure(client.vms.create(vm, { signal }));
    assert.equal(error.reason, 'HYPERVISOR_FAILURE', error.message);
    await expectNothing();
  });

  await context.test('a VM made twice is one VM; another one of its name is refused', async () => {
    const uid = randomUUID();
    const vm = vmWith({ metadata: { uid } });
    const { virtualMachine: first } = await client.vms.create(vm, { signal });
    const { virtualMachine: second } = await client.vms.create(vm, { signal });
    assert.equal(first?.metadata?.uid, uid);
    assert.deepEqual(second?.metadata, first.metadata);
    const names = await node.libvirt.virsh(['list', '--all', '--name'], signal);
    assert.equal(names.trim().split('\n').length, 1);
    const resources = { cpu: '2', memory: '64Mi' };
    const other = vmWith({ metadata: { uid }, machine: { resources } });
    for (const wrong of [other, vmWith(), vmWith({ metadata: { uid, name: 'x' } })]) {
      const error = await failure(client.vms.create(wrong, { signal }));
      assert.equal(error.reason, 'VM_ALREADY_EXISTS', error.message);
    }
    // Side by side, too.
    const many = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        client.vms.create(vmWith({ metadata: { name: 'race' } }), { signal }),
      ),
    );
    assert.equal(many.filter(({ status }) => status === 'fulfilled').length, 1);
    await client.vms.delete({ name: 'race' }, { signal });
    await client.vms.delete({ name: 'vm' }, { signal });
    await client.vms.delete({ name: 'vm' }, { signal });
    await expectNothing();
  });

  await context.test('a running VM is deleted only by force', async () => {
    await client.vms.create(vmWith({ runStrategy: 'Once' }), { signal });
    assert.equal(
      (await failure(client.vms.delete({ name: 'vm' }, { signal }))).reason,
      'VM_RUNNING',
    );
    const wrong = { name: 'vm', uid: randomUUID() };
    const mismatch = await failure(client.vms.delete(wrong, { signal, force: true }));
    assert.equal(mismatch.reason, 'VM_UID_MISMATCH');
    const state = await node.libvirt.virsh(['domstate', 'default_vm'], signal);
    assert.equal(state.trim(), 'running');
    await client.vms.delete({ name: 'vm' }, { signal, force: true });
    await expectNothing();
  });

  await context.test('calls that name nothing that is there', async () => {
    const missing = { name: 'none' };
    const spec = { virtualMachine: missing, destination: { nodeName: 'b' } };
    const calls = [
      [() => client.vms.start(missing, { signal }), 'VM_NOT_FOUND'],
      [() => client.vms.shutdown(missing, { signal }), 'VM_NOT_FOUND'],
      [() => client.migrations.get(randomUUID(), { signal }), 'MIGRATION_NOT_FOUND'],
      [() => client.migrations.cancel(randomUUID(), { signal }), 'MIGRATION_NOT_FOUND'],
      [() => client.migrations.get('not a uuid', { signal }), 'INVALID_REQUEST'],
      [() => client.migrations.start(randomUUID(), {}, { signal }), 'INVALID_REQUEST'],
      [() => client.migrations.start(randomUUID(), spec, { signal }), 'VM_NOT_FOUND'],
    ] as const;
    for (const [call, reason] of calls) assert.equal((await failure(call())).reason, reason);
  });
});

async function failure(call: Promise<unknown>): Promise<AgentError> {
  const outcome = await call.then(
    () => assert.fail('was accepted'),
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof AgentError, String(outcome));
  return outcome;
}
