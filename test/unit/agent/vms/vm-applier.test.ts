import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { toVirtualMachine } from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { fromVirtualMachineMessage } from '../../../../src/client/resource-messages.ts';
import { readDefinitionText, toDefinitionText } from '../../../../src/core/vm-definition-text.ts';
import { VirtualMachine } from '../../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { apply, manifestOf, writtenByNewer } from './manifests.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

const CPU = 'spec.template.spec.resources.cpu';
const FOR_RESTART = { waitsFor: 'restart', sinceMs: undefined, problem: undefined } as const;
const TWO_CPUS = { resources: { cpu: '2', memory: '64Mi' } };

async function withVm(request = newRequest()) {
  const node = await OneNode.open();
  await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request) };
}

/** As a client reads it and `get -o yaml` writes it. */
function shown(vm: Vm): unknown {
  const message = VirtualMachine.decode(VirtualMachine.encode(toVirtualMachine(vm)).finish());
  return JSON.parse(JSON.stringify(fromVirtualMachineMessage(message)));
}

const conditionOf = (vm: Vm, type: string) => {
  const found = vm.conditions.find((condition) => condition.type === type);
  assert.ok(found, type);
  const { status, reason, observedGeneration } = found;
  return { status, reason, observedGeneration };
};

test('a manifest makes the VM, then nothing when it is repeated, then changes it', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const made = await apply(node, request);
  assert.deepEqual([made.outcome, made.changes, made.vm.phase], ['created', [], 'running']);
  const again = await apply(node, request);
  assert.deepEqual([again.outcome, again.changes], ['unchanged', []]);
  assert.equal(again.vm.definition.generation, 1);
  const changed = await apply(node, manifestOf(request, { machine: TWO_CPUS }));
  assert.equal(changed.outcome, 'changed');
  assert.equal(changed.vm.definition.generation, 2);
  assert.equal(changed.vm.definition.spec.template.spec.resources.cpu, '2');
  const defines = node.hypervisor.calls.filter((call) => call.startsWith('define'));
  assert.equal(defines.length, 2);
});

test('a manifest as it is shown changes nothing', async () => {
  await using node = await OneNode.open();
  node.images.add('/images/root.qcow2', { format: 'qcow2' });
  const { metadata, spec } = newRequest();
  const root = { name: 'root', format: 'qcow2', source: { file: { path: '/images/root.qcow2' } } };
  const manifest = manifestOf(
    { metadata, spec },
    {
      metadata: { labels: { tier: 'db' }, annotations: { note: 'ä' } },
      machine: { volumes: [root], resources: { cpu: '1500m', memory: '64Mi' } },
    },
  );
  const { vm } = await apply(node, manifest);
  const { outcome, changes, vm: after } = await apply(node, shown(vm));
  assert.deepEqual([outcome, changes], ['unchanged', []]);
  assert.deepEqual(after.definition, vm.definition);
});

test('a generation that is asked for must be the one there is, 0 for no VM yet', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const changed = manifestOf(request, { machine: TWO_CPUS });
  await assert.rejects(apply(node, request, { generation: 1 }), { reason: 'VM_NOT_FOUND' });
  assert.equal((await apply(node, request, { generation: 0 })).outcome, 'created');
  for (const generation of [0, 2]) {
    for (const dryRun of [false, true]) {
      await assert.rejects(apply(node, changed, { generation, dryRun }), {
        reason: 'GENERATION_MISMATCH',
        message: new RegExp(`has generation 1, not ${generation};`),
      });
    }
  }
  assert.equal((await apply(node, changed, { generation: 1 })).vm.definition.generation, 2);
});

test('of a manifest with a mask only the named fields are taken', async () => {
  const { node, request } = await withVm();
  await using _node = node;
  const { name, namespace } = request.metadata;
  const partial = {
    metadata: { name, namespace, labels: { tier: 'db' } },
    spec: { runStrategy: 'Halted', template: { spec: TWO_CPUS } },
  };
  const { changes, vm } = await apply(node, partial, { updateMask: [CPU] });
  assert.deepEqual(
    changes.map(({ field }) => field),
    [CPU],
  );
  assert.deepEqual(vm.definition.labels, {});
  assert.deepEqual(vm.definition.spec, {
    ...request.spec,
    template: { spec: { ...request.spec.template.spec, ...TWO_CPUS } },
  });
});

test('a mask of a field that there is not is refused, and so is a mask for no VM', async () => {
  const { node, request } = await withVm();
  await using _node = node;
  const changed = manifestOf(request, { machine: TWO_CPUS });
  for (const field of ['spec.template.spec.cpus', 'spec.template.spec.volumes[0]', '']) {
    await assert.rejects(apply(node, changed, { updateMask: [CPU, field] }), {
      reason: 'INVALID_REQUEST',
      violations: [{ field: 'updateMask', description: `names the unknown field ${field}` }],
    });
  }
  const other = newRequest('other');
  await assert.rejects(apply(node, other, { updateMask: [CPU] }), { reason: 'VM_NOT_FOUND' });
  assert.equal((await apply(node, request)).outcome, 'unchanged');
});

test('a dry run says what would change and when, and changes nothing', async () => {
  const { node, request, ref } = await withVm();
  await using _node = node;
  node.images.add('/images/root.img');
  const before = await node.vms.get(ref, never);
  const root = { name: 'root', format: 'raw', source: { file: { path: '/images/root.img' } } };
  const changed = manifestOf(request, {
    metadata: { labels: { tier: 'db' } },
    spec: { runStrategy: 'Manual', migrationPolicy: { allowLiveMigration: false } },
    machine: { ...TWO_CPUS, volumes: [root] },
  });
  node.hypervisor.forgetCalls();
  const { outcome, changes, vm } = await apply(node, changed, { dryRun: true });
  assert.equal(outcome, 'changed');
  const effects = Object.fromEntries(changes.map(({ field, effect }) => [field, effect]));
  assert.deepEqual(effects, {
    'metadata.labels.tier': 'now',
    'spec.runStrategy': 'now',
    'spec.migrationPolicy': 'now',
    [CPU]: 'next-start',
    'spec.template.spec.volumes[0]': 'live',
  });
  const cpu = changes.find(({ field }) => field === CPU);
  assert.deepEqual([cpu?.before, cpu?.after], ['1', '2']);
  assert.equal(vm.definition.spec.template.spec.resources.cpu, '2');
  assert.equal(vm.definition.generation, 1);
  assert.deepEqual((await node.vms.get(ref, never)).definition, before.definition);
  assert.ok(!node.hypervisor.calls.some((call) => call.startsWith('define')));
});

test('an item of a list is named by its place, whatever its name', async () => {
  await using node = await OneNode.open();
  const path = '/images/root.img';
  node.images.add(path);
  const root = { name: 'root', format: 'raw', source: { file: { path } } };
  const request = newRequest();
  await apply(node, manifestOf(request, { machine: { volumes: [root] } }));
  const changed = { ...root, shared: true, cache: 'writeback' };
  const { changes } = await apply(node, manifestOf(request, { machine: { volumes: [changed] } }));
  assert.deepEqual(
    new Set(changes.map(({ field, before, after, effect }) => [field, before, after, effect])),
    new Set([
      ['spec.template.spec.volumes[0].cache', 'none', 'writeback', 'next-start'],
      ['spec.template.spec.volumes[0].shared', undefined, true, 'now'],
    ]),
  );
});

test('a dry run of a VM that is not there makes none', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const { outcome, vm } = await apply(node, request, { dryRun: true, generation: 0 });
  assert.deepEqual([outcome, vm.phase, vm.reason], ['created', 'pending', 'DryRun']);
  await node.assertNothingOf(request);
});

test('of a VM that is off everything changes now', async () => {
  const { node, request } = await withVm(newRequest('web', { runStrategy: 'Manual' }));
  await using _node = node;
  const changed = manifestOf(request, {
    metadata: { labels: { tier: 'db' } },
    machine: TWO_CPUS,
  });
  const { changes, vm } = await apply(node, changed);
  assert.deepEqual(
    changes.map(({ field, effect }) => [field, effect]),
    [
      ['metadata.labels.tier', 'now'],
      [CPU, 'now'],
    ],
  );
  assert.deepEqual(vm.pendingChanges, []);
  assert.equal(conditionOf(vm, 'SpecApplied').status, 'true');
});

test('what waits for a start is told until then, with its values', async () => {
  const { node, request, ref } = await withVm();
  await using _node = node;
  const changed = manifestOf(request, {
    metadata: { labels: { tier: 'db' } },
    spec: { runStrategy: 'Manual' },
    machine: TWO_CPUS,
  });
  const { vm } = await apply(node, changed);
  assert.deepEqual(vm.pendingChanges, [{ field: CPU, live: '1', wanted: '2', ...FOR_RESTART }]);
  assert.equal(vm.liveDefinition?.spec.template.spec.resources.cpu, '1');
  const waits = { status: 'false', reason: 'WaitsForRestart', observedGeneration: 2 };
  assert.deepEqual(conditionOf(vm, 'SpecApplied'), waits);
  assert.equal((await apply(node, changed)).outcome, 'unchanged');

  await node.vms.destroy(ref, never);
  const started = await node.vms.start(ref, never);
  assert.deepEqual([started.pendingChanges, started.liveDefinition], [[], undefined]);
  const applied = { status: 'true', reason: 'Applied', observedGeneration: 2 };
  assert.deepEqual(conditionOf(started, 'SpecApplied'), applied);
});

test('what is taken back before the next start waits no longer', async () => {
  const { node, request } = await withVm();
  await using _node = node;
  await apply(node, manifestOf(request, { machine: TWO_CPUS }));
  const { vm } = await apply(node, request);
  assert.deepEqual([vm.pendingChanges, vm.definition.generation], [[], 3]);
  assert.equal(conditionOf(vm, 'SpecApplied').status, 'true');
});

test('what waits is told as the manifests write it, from the run to the last one of them', async () => {
  await using node = await OneNode.open();
  node.images.add('/images/data.img');
  const request = newRequest();
  await apply(node, request);
  const resources = { cpu: '1500m', memory: '65536Ki' };
  await apply(node, manifestOf(request, { machine: { resources } }));
  const data = { name: 'data', format: 'raw', source: { file: { path: '/images/data.img' } } };
  const last = { resources: { ...resources, cpu: '3' }, volumes: [data] };
  const { vm } = await apply(node, manifestOf(request, { machine: last }));
  const changes = vm.pendingChanges.map(({ field, live, wanted }) => [field, live, wanted]);
  assert.deepEqual(changes.slice(0, 2), [
    [CPU, '1', '3'],
    ['spec.template.spec.resources.memory', '64Mi', '65536Ki'],
  ]);
  const [field, live, wanted] = changes[2] ?? [];
  assert.deepEqual([field, live], ['spec.template.spec.volumes[0]', undefined]);
  assert.equal((wanted as { readonly name: string }).name, 'data');
});

test('what waits is the same for the next agent', async () => {
  const { node, request } = await withVm();
  await using _node = node;
  await apply(node, manifestOf(request, { machine: TWO_CPUS }));
  const { journal, hypervisor } = node;
  await using next = await OneNode.open({ journal, hypervisor });
  const vm = await next.vms.get(refOf(request), never);
  assert.deepEqual(vm.pendingChanges, [{ field: CPU, live: '1', wanted: '2', ...FOR_RESTART }]);
});

test('labels and annotations that are left out go', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const metadata = { labels: { tier: 'db', app: 'shop' }, annotations: { note: 'mine' } };
  await apply(node, manifestOf(request, { metadata }));
  const fewer = { labels: { app: 'shop' }, annotations: { note: 'mine' } };
  const { changes } = await apply(node, manifestOf(request, { metadata: fewer }));
  assert.deepEqual(changes, [
    { field: 'metadata.labels.tier', before: 'db', after: undefined, effect: 'now' },
  ]);
  const { vm } = await apply(node, request);
  assert.deepEqual([vm.definition.labels, vm.definition.annotations], [{}, {}]);
  assert.equal(vm.definition.generation, 3);
});

test('a manifest of another uid is refused, one without a uid means the VM of its name', async () => {
  const { node, request, uid } = await withVm();
  await using _node = node;
  const other = manifestOf(request, { metadata: { uid: randomUUID() }, machine: TWO_CPUS });
  await assert.rejects(apply(node, other), { reason: 'VM_UID_MISMATCH' });
  const any = manifestOf(request, { metadata: { uid: undefined }, machine: TWO_CPUS });
  const { outcome, vm } = await apply(node, any);
  assert.deepEqual([outcome, vm.definition.uid], ['changed', uid]);
});

test('a manifest that this node cannot carry out changes nothing', async () => {
  const { node, request, ref } = await withVm();
  await using _node = node;
  const broken = manifestOf(request, { machine: { kernel: { path: '/boot/none' } } });
  for (const dryRun of [false, true]) {
    await assert.rejects(apply(node, broken, { dryRun }), { reason: 'IMAGE_NOT_FOUND' });
  }
  await assert.rejects(apply(node, manifestOf(request, { spec: { runStrategy: 'Often' } })), {
    reason: 'INVALID_SPEC',
  });
  const { definition } = await node.vms.get(ref, never);
  assert.deepEqual([definition.generation, definition.spec], [1, request.spec]);
});

test('the way on that is told of a VM whose manifest is damaged works', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { runStrategy: 'Manual' });
  const { uid } = request.metadata;
  const whole = tinyVm({ name: 'web', uid: uid ?? '', intent: 'off' }, request.spec.template.spec);
  const text = toDefinitionText(whole).slice(0, -9);
  const definition = readDefinitionText(text, { ...whole, isNewerVersion: false });
  await node.hypervisor.domains.define(definition, never);
  const ref = { namespace: definition.namespace, name: 'web', uid: undefined };
  const damaged = { reason: 'VM_SPEC_DAMAGED', message: /novactl vm delete test\/web and create/ };
  await assert.rejects(apply(node, manifestOf(request, { machine: TWO_CPUS })), damaged);
  const exists = { reason: 'VM_ALREADY_EXISTS', message: damaged.message };
  await assert.rejects(node.create(request), exists);
  const vm = await node.vms.start(ref, never);
  assert.deepEqual([vm.phase, vm.pendingChanges], ['running', []]);
  const { metadata, spec } = toVirtualMachine(vm);
  assert.deepEqual([metadata?.creationTimestamp, spec], [undefined, undefined]);

  await node.vms.shutdown(ref, never);
  await node.vms.delete(ref, { force: false }, never);
  const made = await node.create(request);
  assert.deepEqual([made.definition.newer, made.definition.spec], [undefined, request.spec]);
});

test('a change of a VM of a higher version is refused with words', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web');
  const whole = tinyVm({ name: 'web', uid: uidOf(request) }, request.spec.template.spec);
  const facts = { ...whole, isNewerVersion: true };
  await node.hypervisor.domains.define(readDefinitionText(toDefinitionText(whole), facts), never);
  await assert.rejects(apply(node, manifestOf(request, { machine: TWO_CPUS })), {
    reason: 'VM_SPEC_NEWER',
    message: /has given it its version, which/,
  });
});

test('a VM that a newer agent has written is listed, started and stopped, not changed', async () => {
  await using node = await OneNode.open();
  const definition = writtenByNewer(
    tinyVm({ name: 'web', intent: 'off', generation: 7 }, newRequest().spec.template.spec),
    { runStrategy: 'Manual', later: { much: true } },
  );
  await node.hypervisor.domains.define(definition, never);
  const ref = { namespace: definition.namespace, name: 'web', uid: undefined };
  const { items } = await node.vms.list(EVERYTHING, WHOLE, never);
  const [vm] = items;
  assert.ok(vm);
  const newer = { status: 'true', reason: 'UnknownFields', observedGeneration: 7 };
  assert.deepEqual(conditionOf(vm, 'NewerSpec'), newer);

  const { name, namespace, uid } = definition;
  const manifest = { metadata: { name, namespace, uid }, spec: definition.spec };
  for (const dryRun of [false, true]) {
    const changed = manifestOf(manifest, { machine: TWO_CPUS });
    await assert.rejects(apply(node, changed, { dryRun }), {
      reason: 'VM_SPEC_NEWER',
      message: /spec\.later/,
    });
  }
  assert.equal((await node.vms.start(ref, never)).phase, 'running');
  const stopped = await node.vms.shutdown(ref, never);
  assert.equal(stopped.phase, 'stopped');
  assert.deepEqual(stopped.definition.newer, definition.newer);
});

test('what a change of firmware does to what the guest keeps in it is said before', async () => {
  await using node = await OneNode.open();
  const tpm = { version: '2.0' } as const;
  const request = newRequest('web', { machine: { firmware: { type: 'uefi', tpm } } });
  await apply(node, request);
  const secure = manifestOf(request, { machine: { firmware: { type: 'uefi', secureBoot: true } } });
  const { warnings, changes } = await apply(node, secure, { dryRun: true });
  assert.deepEqual(
    changes.map(({ field, effect }) => [field.split('.').at(-1), effect]),
    [
      ['tpm', 'next-start'],
      ['secureBoot', 'next-start'],
    ],
  );
  assert.match(warnings.join('\n'), /kept apart for each setting of Secure Boot/);
  assert.match(warnings.join('\n'), /cannot read without/);
});

test('another type of firmware is told before, in both directions, of a VM that has booted', async () => {
  await using node = await OneNode.open();
  for (const [had, has, told] of [
    ['uefi', undefined, /from UEFI to BIOS, .* name firmware\.type uefi to keep it/],
    ['bios', 'uefi', /from BIOS to UEFI, .* name firmware\.type bios to keep it/],
  ] as const) {
    const request = newRequest(had, { machine: { firmware: { type: had } } });
    await apply(node, request);
    const other = manifestOf(request, { machine: { firmware: has && { type: has } } });
    const { warnings } = await apply(node, other, { dryRun: true });
    assert.match(warnings.join('\n'), told);
  }
});

test('a CPU model and a machine type that the manifest names no more stay, and that is said', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { machine: { cpu: { model: 'EPYC' }, machineType: 'q35' } });
  await apply(node, request);
  const less = manifestOf(request, { machine: { cpu: undefined, machineType: undefined } });
  const { warnings } = await apply(node, less, { dryRun: true });
  assert.match(warnings.join('\n'), /cpu\.model is in the manifest no more, and the VM keeps EPYC/);
  assert.match(warnings.join('\n'), /machineType is in the manifest no more, .* keeps q35/);
});

test('a little said of the firmware of a Windows leaves it what it has, and without os: windows it goes with a word', async () => {
  await using node = await OneNode.open();
  const request = newRequest('win', { machine: { os: 'windows' } });
  const { vm } = await apply(node, request);
  const { firmware } = vm.definition.spec.template.spec;
  assert.deepEqual(firmware, { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } });
  const smbios = { sku: 'k' };
  const little = manifestOf(request, { machine: { os: 'windows', firmware: { smbios } } });
  const after = await apply(node, little);
  assert.deepEqual(after.vm.definition.spec.template.spec.firmware, { ...firmware, smbios });
  const without = await apply(node, manifestOf(request, { machine: { os: undefined } }), {
    dryRun: true,
  });
  const warnings = without.warnings.join('\n');
  assert.match(warnings, /from UEFI to BIOS/);
  assert.match(
    warnings,
    /Without spec\.template\.spec\.os windows .*spec\.firmware.* change; name/,
  );
});

test('a board that the node cannot give is refused by field, and enlightenments that it does without are told', async () => {
  await using node = await OneNode.open();
  const watchdog = { model: 'i6300esb', action: 'reset' } as const;
  const machine = { vsock: {}, hyperv: { enabled: true }, watchdog };
  node.hypervisor.host.lackingParts = ['vsock', 'watchdog.model'];
  await assert.rejects(apply(node, newRequest('web', { machine }), { dryRun: true }), {
    reason: 'FEATURE_NOT_SUPPORTED',
    violations: ['vsock', 'watchdog.model'].map((field) => ({
      field: `spec.template.spec.${field}`,
      description: 'is lacking here; leave it out',
    })),
  });
  node.hypervisor.host.lackingParts = [];
  const request = newRequest('web', { machine });
  const { warnings, vm } = await apply(node, request);
  assert.deepEqual(warnings, [
    'spec.template.spec.hyperv is kept and has no effect: this node runs VMs without KVM, which alone gives them',
  ]);
  assert.deepEqual(vm.definition.spec.template.spec.watchdog, watchdog);
  const changed = manifestOf(request, {
    machine: {
      ...machine,
      watchdog: { ...watchdog, action: 'pause' },
      firmware: { type: 'bios', smbios: { sku: 'k' } },
    },
  });
  const { changes } = await apply(node, changed, { dryRun: true });
  assert.deepEqual(
    changes.map(({ field, effect }) => [field.replace('spec.template.spec.', ''), effect]),
    [
      ['watchdog.action', 'next-start'],
      ['firmware', 'next-start'],
    ],
  );
});

test('what Windows needs is filled in, shown and kept, and a node that lacks it says who has asked for it', async () => {
  await using node = await OneNode.open();
  const request = newRequest('win', { machine: { os: 'windows' } });
  node.hypervisor.host.lacking = ['tpm'];
  await assert.rejects(apply(node, request, { dryRun: true }), {
    reason: 'FEATURE_NOT_SUPPORTED',
    violations: [
      {
        field: 'spec.template.spec.firmware.tpm',
        description:
          'is lacking here; install it (os: windows has set firmware to uefi with Secure Boot and a TPM 2.0; give firmware.type bios to do without)',
      },
    ],
  });
  node.hypervisor.host.lacking = [];
  const { vm, warnings } = await apply(node, request);
  const { clock, firmware, hyperv, display } = vm.definition.spec.template.spec;
  assert.deepEqual(
    [clock?.offset, firmware?.secureBoot, display?.type],
    ['localtime', true, 'vnc'],
  );
  assert.deepEqual(hyperv, { enabled: true });
  assert.match(
    warnings.join('\n'),
    /os windows sets what the manifest leaves open: machineType q35, firmware uefi with/,
  );
  assert.equal((await apply(node, request)).outcome, 'unchanged');
  const own = manifestOf(request, { machine: { os: 'windows', clock: { offset: 'utc' } } });
  const { changes } = await apply(node, own, { dryRun: true });
  assert.deepEqual(
    changes.map(({ field, before, after }) => [field.split('.').at(-1), before, after]),
    [['offset', 'localtime', 'utc']],
  );
});

test('firmware that the node lacks is refused by field, with what to install', async () => {
  await using node = await OneNode.open();
  node.hypervisor.host.lacking = ['secureBoot', 'tpm'];
  const firmware = { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } } as const;
  await assert.rejects(apply(node, newRequest('web', { machine: { firmware } })), {
    reason: 'FEATURE_NOT_SUPPORTED',
    violations: [
      {
        field: 'spec.template.spec.firmware.secureBoot',
        description: 'is lacking here; install it',
      },
      { field: 'spec.template.spec.firmware.tpm', description: 'is lacking here; install it' },
    ],
  });
  await apply(node, newRequest('plain', { machine: { firmware: { type: 'uefi' } } }));
});
