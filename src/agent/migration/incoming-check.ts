import { hasReason } from '../../core/errors.ts';
import { bridgeOf } from '../../core/resources/network.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HostBridges } from '../../drivers/host-bridges.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import { hypervisorNameOf } from '../../drivers/hypervisor-domains.ts';
import type { HypervisorInfo } from '../../drivers/hypervisor-host.ts';
import { amountsOf } from '../node/amounts.ts';
import type { CapacityLedger, Holding } from '../node/capacity-ledger.ts';
import type { Cordon } from '../node/cordon.ts';
import type { NodeAccelerator } from '../node/node-accelerator.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import type { DefinitionValidator } from '../vms/definition-validator.ts';
import { findHypervisorNamesake } from '../vms/hypervisor-namesake.ts';
import { howToDeleteCopy, type Ownership } from '../vms/ownership.ts';
import type { Vm } from '../vms/vm.ts';
import { wantedOf } from '../vms/wanted-definition.ts';
import type { IncomingBlocker, IncomingVm } from './migration.ts';
import type { MigrationRecord } from './migration-record.ts';

export interface IncomingCheckOptions {
  readonly hypervisor: Pick<Hypervisor, 'host' | 'domains'>;
  readonly bridges: HostBridges;
  readonly capacity: CapacityLedger;
  readonly ownership: Ownership;
  readonly listVms: () => readonly Vm[];
  /** Knows what VMs run on here. */
  readonly accelerator: Pick<NodeAccelerator, 'assertKnown' | 'state'>;
  readonly validator: Pick<DefinitionValidator, 'supportOf' | 'validateIncoming'>;
  readonly cordon: Pick<Cordon, 'assertNotCordoned'>;
  readonly nodeShutdown: Pick<ShutdownMark, 'assertNotGoingDown'>;
}

/** Names everything that keeps a VM from coming to this node. Changes nothing. */
export async function checkIncoming(
  incoming: IncomingVm,
  options: IncomingCheckOptions,
  signal: AbortSignal,
): Promise<IncomingBlocker[]> {
  const info = await options.hypervisor.host.getInfo(signal);
  const blockers = hostBlockers(incoming, info, options);
  const { definition } = incoming;
  const here = await options.hypervisor.domains.find(definition.uid, signal);
  if (here !== undefined)
    blockers.push(alreadyThere('uid', here.hypervisorName, here.definition, options));
  else blockers.push(...nameBlockers(definition, options));
  if (!blockers.some(({ reason }) => reason === 'VM_ALREADY_EXISTS')) {
    blockers.push(...(await hypervisorNameBlockers(incoming, options, signal)));
  }
  blockers.push(...(await cpuBlockers(incoming, options, signal)));
  await collect(blockers, () =>
    options.nodeShutdown.assertNotGoingDown(`Cannot take VM ${definition.name}`),
  );
  await collect(blockers, () => {
    options.accelerator.assertKnown(`Cannot take VM ${definition.name}`);
  });
  await collect(blockers, () => options.cordon.assertNotCordoned(`VM ${definition.name}`));
  for (const { field, description } of options.validator.supportOf(wantedOf(definition)).refused) {
    blockers.push({ reason: 'NOT_SUPPORTED', message: `${field} ${description}`, subject: field });
  }
  await collect(blockers, () => options.validator.validateIncoming(definition, signal));
  blockers.push(...(await bridgeBlockers(incoming, options, signal)));
  // What is too much for the whole node has been said.
  if (!blockers.some(({ reason }) => reason === 'NODE_CAPACITY_EXCEEDED')) {
    await collect(blockers, () => options.capacity.assertRoom(holdingFor(definition, incoming)));
  }
  return blockers;
}

/** Costs nothing, so that it can be asked again once nobody else can take the name. */
export function nameBlockers(
  { uid, namespace, name }: VmDefinition,
  options: Pick<IncomingCheckOptions, 'listVms' | 'ownership'>,
): IncomingBlocker[] {
  // The list is a little old: a VM that has just left may still be in it.
  const other = options
    .listVms()
    .map(({ definition }) => definition)
    .find((one) => one.uid !== uid && one.namespace === namespace && one.name === name);
  return other === undefined ? [] : [alreadyThere('name', name, other, options)];
}

async function hypervisorNameBlockers(
  incoming: IncomingVm,
  { hypervisor: { domains } }: IncomingCheckOptions,
  signal: AbortSignal,
): Promise<IncomingBlocker[]> {
  const { definition } = incoming;
  const hypervisorName = incoming.hypervisorName || hypervisorNameOf(definition);
  const other = findHypervisorNamesake(await domains.list(signal), hypervisorName, definition);
  if (other === undefined) return [];
  const message = `libvirt calls the VM ${hypervisorName}, and has another of that name there (${other}); shut one of them down and rename it with virsh domrename`;
  return [{ reason: 'VM_ALREADY_EXISTS', message, subject: 'metadata' }];
}

/** Of what it runs with and its definition does not name, or not any more. */
async function bridgeBlockers(
  { definition, bridges }: IncomingVm,
  options: IncomingCheckOptions,
  signal: AbortSignal,
): Promise<IncomingBlocker[]> {
  const named = (definition.spec.template.spec.networks ?? []).map(bridgeOf);
  const unsaid = bridges.filter((bridge) => !named.includes(bridge));
  if (unsaid.length === 0) return [];
  const here = await options.bridges.list(signal);
  const what = here.length === 0 ? 'no bridge' : `only ${here.join(', ')}`;
  return unsaid
    .filter((bridge) => !here.includes(bridge))
    .map((bridge) => ({
      reason: 'NETWORK_NOT_FOUND',
      message: `the VM runs with an interface on the bridge ${bridge}, and this node has ${what}; make ${bridge} there (docs/networks.md), choose another node, or restart the VM without that interface`,
      subject: 'status.interfaces',
    }));
}

async function cpuBlockers(
  { cpu, accelerator }: IncomingVm,
  { hypervisor, accelerator: { state } }: IncomingCheckOptions,
  signal: AbortSignal,
): Promise<IncomingBlocker[]> {
  const own = state.accelerator;
  // Of another accelerator's CPU nothing is to be said that matters.
  if (cpu === '' || own === undefined || (accelerator ?? own) !== own) return [];
  const problem = await hypervisor.host.findCpuProblem(cpu, own, signal);
  if (problem === undefined) return [];
  const message = `this node cannot give the VM the CPU that it has: ${problem}; give it a model that all its nodes have and restart it`;
  return [{ reason: 'CPU_INCOMPATIBLE', message, subject: 'spec.template.spec.cpu.model' }];
}

function alreadyThere(
  by: 'name' | 'uid',
  name: string,
  definition: VmDefinition | undefined,
  { ownership }: Pick<IncomingCheckOptions, 'ownership'>,
): IncomingBlocker {
  const message =
    definition !== undefined && ownership.isUnowned(definition)
      ? `there is a copy of a VM ${name} with that ${by}, which that node does not own; on that node, ${howToDeleteCopy(definition)} first`
      : `there is a VM ${name} with that ${by} already; remove it there first`;
  return { reason: 'VM_ALREADY_EXISTS', message, subject: 'metadata' };
}

/** What an incoming VM needs here: what it has where it runs, if that is known, and not what its definition has pending. */
export function holdingFor(
  { uid, namespace, name, spec }: VmDefinition,
  running: MigrationRecord['running'],
): Holding {
  const machine = spec.template.spec;
  const resources =
    running === undefined
      ? machine.resources
      : { cpu: String(running.vcpus), memory: String(running.memoryBytes) };
  return { vmUid: uid, namespace, name, amounts: amountsOf({ ...machine, resources }) };
}

function hostBlockers(
  incoming: IncomingVm,
  info: HypervisorInfo,
  options: IncomingCheckOptions,
): IncomingBlocker[] {
  const blockers: IncomingBlocker[] = [];
  const block = (message: string, subject: string): void => {
    blockers.push({ reason: 'FEATURE_NOT_SUPPORTED', message, subject });
  };
  if (incoming.sourceHostUuid === info.hostUuid) {
    block(
      'both nodes have the same host UUID; set another host_uuid in virtqemud.conf or libvirtd.conf',
      '',
    );
  }
  const { accelerator: own, finding } = options.accelerator.state;
  if (own === 'kvm' && finding?.boots === false) {
    block(`no guest boots with KVM on this node: ${finding.why}`, '');
  }
  if (own !== undefined && incoming.accelerator !== undefined && incoming.accelerator !== own) {
    block(
      `the VM runs on ${incoming.accelerator} and this node on ${own}; they cannot exchange VMs`,
      'status.accelerator',
    );
  }
  if (incoming.machineType !== '' && !info.machineTypes.includes(incoming.machineType)) {
    block(
      `QEMU ${info.qemuVersion} has no machine type ${incoming.machineType}; upgrade QEMU there`,
      'status.machineType',
    );
  }
  if (compareVersions(info.qemuVersion, incoming.sourceQemuVersion) < 0) {
    block(
      `QEMU ${info.qemuVersion} is older than the source's ${incoming.sourceQemuVersion}; VMs only migrate to the same or a newer one`,
      'status.hypervisor.qemuVersion',
    );
  }
  if (info.incomingSocket.problem !== undefined) {
    block(noIncomingSocket(info.incomingSocket.problem), '');
  }
  if (options.ownership.isStale(incoming.definition)) {
    const left = options.ownership.find(incoming.definition.uid)?.left;
    blockers.push({
      reason: 'VM_NOT_OWNED',
      message: `the VM at ownership epoch ${incoming.definition.ownershipEpoch} is an older copy of one that has been here, and that node ${left?.toNode} owns since epoch ${left?.epoch}; use it there, and do not start this copy`,
      subject: 'status.ownershipEpoch',
    });
  }
  return blockers;
}

/** Neither libvirt would say it: the source's only sees its connection end. */
export function noIncomingSocket(problem: string): string {
  return `no VM can come to this node, as libvirt's socket is not found: ${problem}`;
}

async function collect(
  blockers: IncomingBlocker[],
  check: () => Promise<void> | void,
): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (
      !hasReason(
        error,
        ...(['INVALID_SPEC', 'IMAGE_NOT_FOUND', 'IMAGE_INVALID', 'IMAGE_IN_USE'] as const),
        ...([
          'IMAGE_NOT_ALLOWED',
          'IMAGE_NOT_READABLE',
          'IMAGE_UNREACHABLE',
          'DEVICE_IN_USE',
          'NETWORK_NOT_FOUND',
          'HOOK_NOT_ALLOWED',
        ] as const),
        ...(['NODE_CAPACITY_EXCEEDED', 'FEATURE_NOT_SUPPORTED', 'NOT_SUPPORTED'] as const),
        'CPU_INCOMPATIBLE',
        ...(['NODE_CORDONED', 'NODE_SHUTTING_DOWN', 'VM_BUSY', 'STATE_NOT_READY'] as const),
      )
    ) {
      throw error;
    }
    blockers.push({
      reason: error.reason,
      message: error.message,
      subject: error.violations[0]?.field ?? 'spec',
    });
  }
}

/** Compares dotted version numbers; negative if the left one is older. Only major and minor decide compatibility. */
function compareVersions(left: string, right: string): number {
  const [leftMajor = 0, leftMinor = 0] = left.split('.').map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split('.').map(Number);
  return leftMajor - rightMajor || leftMinor - rightMinor;
}
