import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { NodeName } from '../../lab/plan/lab-plan.ts';
import { ConditionStatus, type VirtualMachine, VirtualMachinePhase } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { METADATA_NAMESPACE } from '../../src/drivers/libvirt/domain-xml/metadata-namespace.ts';
import { type DemoVm, PATIENCE_MS } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { manifest } from '../fixtures/manifests.ts';

const UNKNOWN_FIELD = 'spec.template.spec.clock';
const UNKNOWN_VALUE = 'spec.updateStrategy.type';

test('a VM that a newer agent has written is kept as it is, and works', async ({ signal }) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);
  const text = newerText(await readText(a, vm, 'live', signal));
  await writeText(a, vm, text, signal);

  await expectNewer(nodes, vm, a, signal);
  await expectCannotBeChanged(nodes, vm, a, signal);
  assert.equal(await readText(a, vm, 'live', signal), text);
  assert.equal(await readText(a, vm, 'config', signal), text);

  // The guest goes over as any other.
  using seen = vm.watch();
  const migration = await vm.migrate(a, signal);
  await migration.expectCompleted(signal);
  await seen.expectArrived(b, signal);
  await vm.expectOnlyAt(b, 2n, signal);
  await nodes.expectNothingLeft(signal);
  assert.equal(await readText(b, vm, 'live', signal), text);
  assert.equal(await readText(b, vm, 'config', signal), text);
  await expectNewer(nodes, vm, b, signal);

  const client = nodes.client('b');
  await client.vms.shutdown({ name: vm.name }, { signal });
  await reachPhase(nodes, vm, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED, signal);
  assert.equal(await readText(b, vm, 'config', signal), text);
  await client.vms.start({ name: vm.name }, { signal });
  await reachPhase(nodes, vm, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING, signal);
  assert.equal(await readText(b, vm, 'live', signal), text);
  await expectNewer(nodes, vm, b, signal);
});

/** A manifest with a field and a value that this version does not know, written as this version would not write it. */
function newerText(text: string): string {
  const document = JSON.parse(text) as {
    readonly metadata: object;
    readonly spec: { readonly template: { readonly spec: object } };
  };
  const { metadata, spec, ...rest } = document;
  const machine = { ...spec.template.spec, clock: { timezone: 'Europe/Zurich' } };
  const newer = {
    spec: { ...spec, updateStrategy: { type: 'Gradual' }, template: { spec: machine } },
    ...rest,
    metadata: { ...metadata, annotations: { note: 'Zürich' } },
  };
  return JSON.stringify(newer).replace('{', '{ ').replace('ü', '\\u00fc');
}

/** It is listed with a condition that names what is not known. */
async function expectNewer(
  nodes: TwoNodes,
  vm: DemoVm,
  node: LabNode,
  signal: AbortSignal,
): Promise<void> {
  const { virtualMachines } = await nodes.client(node.name as NodeName).vms.list({}, { signal });
  const listed = virtualMachines.find(({ metadata }) => metadata?.uid === vm.uid);
  assert.ok(listed !== undefined, `VM ${vm.name} is not listed on node ${node.name}`);
  const newer = conditionOf(listed, 'NewerSpec');
  assert.equal(newer?.status, ConditionStatus.CONDITION_STATUS_TRUE);
  for (const field of [UNKNOWN_FIELD, UNKNOWN_VALUE]) {
    assert.ok(newer.message.includes(field), newer.message);
  }
}

function conditionOf({ status }: VirtualMachine, wanted: string) {
  return status?.conditions.find(({ type }) => type === wanted);
}

async function expectCannotBeChanged(
  nodes: TwoNodes,
  vm: DemoVm,
  node: LabNode,
  signal: AbortSignal,
): Promise<void> {
  const document = parseVirtualMachine({ ...manifest(), metadata: { name: vm.name } });
  const { vms } = nodes.client(node.name as NodeName);
  await assert.rejects(vms.apply(toVirtualMachineMessage(document), { signal }), {
    reason: 'VM_SPEC_NEWER',
  });
}

async function reachPhase(
  nodes: TwoNodes,
  vm: DemoVm,
  phase: VirtualMachinePhase,
  signal: AbortSignal,
): Promise<void> {
  await waitUntil(
    `Phase ${phase} of VM ${vm.name}`,
    PATIENCE_MS,
    async () => {
      const { status } = await nodes.client('b').vms.get({ name: vm.name }, { signal });
      return status?.phase === phase;
    },
    signal,
  );
}

type Definition = 'live' | 'config';

/** The manifest in a domain's metadata, byte for byte. */
async function readText(
  node: LabNode,
  vm: DemoVm,
  of: Definition,
  signal: AbortSignal,
): Promise<string> {
  const element = await readElement(node, vm, of, signal);
  return element.slice(element.indexOf('>') + 1, element.lastIndexOf('</'));
}

/** Puts another manifest into a domain's metadata, as another agent would have left it. */
async function writeText(
  node: LabNode,
  vm: DemoVm,
  text: string,
  signal: AbortSignal,
): Promise<void> {
  const element = await readElement(node, vm, 'live', signal);
  const changed = `${element.slice(0, element.indexOf('>') + 1)}${text}</vm>`;
  const where = [vm.uid, '--uri', METADATA_NAMESPACE, '--key', 'novacron', '--live', '--config'];
  await node.libvirt.virsh(['metadata', ...where, '--set', changed], signal);
}

async function readElement(
  node: LabNode,
  vm: DemoVm,
  of: Definition,
  signal: AbortSignal,
): Promise<string> {
  const where = [vm.uid, '--uri', METADATA_NAMESPACE, `--${of}`];
  const element = await node.libvirt.virsh(['metadata', ...where], signal);
  assert.match(element, /^<vm [^>]*>[^<&]*<\/vm>\s*$/, 'needs no decoding');
  return element;
}
