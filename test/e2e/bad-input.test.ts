import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { totalmem } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { DiskFormat, PowerState } from '../../src/client/api.ts';
import type { VmInput } from '../../src/client/vm-calls.ts';
import { AgentError } from '../../src/core/errors.ts';

const MIB = 1024n ** 2n;
const IMAGE = '/run/image.raw';

const GOOD = {
  metadata: { name: 'vm' },
  spec: {
    powerState: PowerState.POWER_STATE_STOPPED,
    cpu: { vcpus: 1 },
    memory: { sizeBytes: 64n * MIB },
  },
} satisfies VmInput;

function disk(name: string, change: object = {}) {
  const format = DiskFormat.DISK_FORMAT_RAW;
  return { name, target: 'vda', format, path: IMAGE, shared: true, ...change };
}

interface Bad {
  readonly what: string;
  readonly vm: VmInput;
  readonly reason: string;
  readonly grpcCode: number;
  readonly fields: readonly string[];
}

const MALFORMED = { reason: 'INVALID_REQUEST', grpcCode: 3 };
const INVALID = { reason: 'INVALID_SPEC', grpcCode: 3 };
const UNMET = { grpcCode: 9 };

const BAD: readonly Bad[] = [
  { what: 'nothing', vm: {}, ...MALFORMED, fields: ['metadata', 'metadata.name'] },
  {
    what: 'no memory',
    vm: { ...GOOD, spec: { cpu: { vcpus: 1 } } },
    ...INVALID,
    fields: ['spec.memory'],
  },
  {
    what: 'an odd amount of memory',
    vm: { ...GOOD, spec: { ...GOOD.spec, memory: { sizeBytes: 64n * MIB + 1n } } },
    ...INVALID,
    fields: ['spec.memory.size_bytes'],
  },
  {
    what: 'no CPU',
    vm: { ...GOOD, spec: { ...GOOD.spec, cpu: { vcpus: 0 } } },
    ...INVALID,
    fields: ['spec.cpu.vcpus'],
  },
  {
    what: 'a disk without a format, and one of an unknown format',
    vm: {
      ...GOOD,
      spec: {
        ...GOOD.spec,
        disks: [
          disk('x', { format: DiskFormat.DISK_FORMAT_UNSPECIFIED }),
          disk('y', { format: 77 as DiskFormat, target: 'vdb', path: '/run/other.raw' }),
        ],
      },
    },
    ...INVALID,
    fields: ['spec.disks[0].format', 'spec.disks[1].format'],
  },
  {
    what: 'two disks on one target',
    vm: { ...GOOD, spec: { ...GOOD.spec, disks: [disk('x'), disk('y', { path: '/run/y.raw' })] } },
    ...INVALID,
    fields: ['spec.disks[1].target'],
  },
  {
    what: 'a name that is no DNS label',
    vm: { ...GOOD, metadata: { name: 'No_Label' } },
    ...MALFORMED,
    fields: ['metadata.name'],
  },
  {
    what: 'a name and labels that hold XML',
    vm: { ...GOOD, metadata: { name: "a'/><x", labels: { '<k>': '&' } } },
    ...MALFORMED,
    // Of the label both the key and the value.
    fields: ['metadata.name', 'metadata.labels[<k>]', 'metadata.labels[<k>]'],
  },
  {
    what: 'a garbage uid',
    vm: { ...GOOD, metadata: { name: 'vm', uid: '../../etc/passwd' } },
    ...MALFORMED,
    fields: ['metadata.uid'],
  },
  {
    what: 'an image that is not there',
    vm: { ...GOOD, spec: { ...GOOD.spec, disks: [disk('x', { path: '/run/none.raw' })] } },
    ...UNMET,
    reason: 'IMAGE_NOT_FOUND',
    fields: ['spec.disks[0].path'],
  },
  {
    what: 'an image of another format',
    vm: {
      ...GOOD,
      spec: { ...GOOD.spec, disks: [disk('x', { format: DiskFormat.DISK_FORMAT_QCOW2 })] },
    },
    ...UNMET,
    reason: 'IMAGE_INVALID',
    fields: ['spec.disks[0].format'],
  },
  {
    what: 'a kernel that is not there',
    vm: {
      ...GOOD,
      spec: {
        ...GOOD.spec,
        boot: { method: { $case: 'kernel', value: { kernelPath: '/boot/none' } } },
      },
    },
    ...UNMET,
    reason: 'IMAGE_NOT_FOUND',
    fields: ['spec.boot.kernel.kernel_path'],
  },
  {
    what: 'more memory than the node has',
    vm: {
      ...GOOD,
      spec: { ...GOOD.spec, memory: { sizeBytes: (BigInt(totalmem()) / MIB + 1n) * MIB } },
    },
    ...UNMET,
    reason: 'NODE_CAPACITY_EXCEEDED',
    fields: ['spec.memory.size_bytes'],
  },
  {
    what: 'a machine type that QEMU does not have',
    vm: { ...GOOD, spec: { ...GOOD.spec, machineType: 'pc-q35-99.9' } },
    ...UNMET,
    reason: 'FEATURE_NOT_SUPPORTED',
    fields: ['spec.machine_type'],
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
          fields.map((field) => `virtual_machine.${field}`),
        );
      }
      await expectNothing();
    });
  }

  await context.test('a VM that libvirt itself cannot start', async () => {
    // Linux takes no kernel that is no kernel; QEMU notices only when it starts.
    const value = { kernelPath: IMAGE, initrdPath: guest.initrdPath, commandLine: '' };
    const spec = { ...GOOD.spec, boot: { method: { $case: 'kernel' as const, value } } };
    const running = { ...spec, powerState: PowerState.POWER_STATE_RUNNING };
    const error = await failure(client.vms.create({ ...GOOD, spec: running }, { signal }));
    assert.equal(error.reason, 'HYPERVISOR_FAILURE', error.message);
    await expectNothing();
  });

  await context.test('a VM made twice is one VM; another one of its name is refused', async () => {
    const uid = randomUUID();
    const vm = { ...GOOD, metadata: { name: 'vm', uid } };
    const [first, second] = [
      await client.vms.create(vm, { signal }),
      await client.vms.create(vm, { signal }),
    ];
    assert.equal(first.metadata?.uid, uid);
    assert.deepEqual(second.metadata, first.metadata);
    const names = await node.libvirt.virsh(['list', '--all', '--name'], signal);
    assert.equal(names.trim().split('\n').length, 1);
    const other = { ...vm, spec: { ...vm.spec, cpu: { vcpus: 2 } } };
    for (const wrong of [other, GOOD, { ...vm, metadata: { name: 'x', uid } }]) {
      const error = await failure(client.vms.create(wrong, { signal }));
      assert.equal(error.reason, 'VM_ALREADY_EXISTS', error.message);
    }
    // Side by side, too.
    const many = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        client.vms.create({ ...GOOD, metadata: { name: 'race' } }, { signal }),
      ),
    );
    assert.equal(many.filter(({ status }) => status === 'fulfilled').length, 1);
    await client.vms.delete({ name: 'race' }, { signal });
    await client.vms.delete({ name: 'vm' }, { signal });
    await client.vms.delete({ name: 'vm' }, { signal });
    await expectNothing();
  });

  await context.test('a running VM is deleted only by force', async () => {
    const running = { ...GOOD.spec, powerState: PowerState.POWER_STATE_RUNNING };
    await client.vms.create({ ...GOOD, spec: running }, { signal });
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
