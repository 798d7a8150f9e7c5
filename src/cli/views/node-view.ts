import { ConditionStatus, type Node, type NodeStatus } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/virtual-machine.ts';
import { amountText } from '../output/amounts.ts';
import {
  conditionDocuments,
  type Document,
  durationText,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import type { ResourceView } from '../output/resource-view.ts';
import { metadataDocument } from './metadata-document.ts';
import { shutdownDocument } from './shutdown-view.ts';

export function nodeView(nowMs: number): ResourceView<Node> {
  return {
    columns: [
      { header: 'NAME', value: nodeName },
      { header: 'STATE', value: stateOf },
      { header: 'VMS', value: runningVms },
      { header: 'CPUS', value: ({ status }) => allocated(status, 'cpu') },
      { header: 'MEMORY', value: ({ status }) => allocated(status, 'memory') },
      { header: 'ACCELERATOR', value: ({ status }) => status?.hypervisor?.accelerator ?? '' },
      { header: 'AGENT', value: ({ status }) => status?.agentVersion ?? '' },
      { header: 'AGE', value: ({ status }) => ageOf(status, nowMs) },
      { header: 'QEMU', wide: true, value: ({ status }) => status?.hypervisor?.qemuVersion ?? '' },
      {
        header: 'LIBVIRT',
        wide: true,
        value: ({ status }) => status?.hypervisor?.libvirtVersion ?? '',
      },
      { header: 'ADDRESS', wide: true, value: ({ status }) => status?.advertiseAddress ?? '' },
      {
        header: 'KERNEL',
        wide: true,
        value: ({ status }) => status?.operatingSystem?.kernelRelease ?? '',
      },
      { header: 'MISSING FEATURES', wide: true, value: missingFeatures },
    ],
    document: nodeDocument,
    name: nodeName,
  };
}

export function nodeName({ metadata }: Node): string {
  return metadata?.name ?? '';
}

/** VMs that cannot be identified are counted, and while they matter the node is not ready; the others have words of their own. */
const SAID_OTHERWISE: ReadonlySet<string> = new Set([
  'VirtualMachinesIdentified',
  'MemoryAvailable',
  'AcceleratorAvailable',
]);

/**
 * `Ready`, or the conditions that do not hold; beside it what is no fault of the node: `Cordoned`, `ShuttingDown`, `Overcommitted`,
 * `NoKvm`, `UnidentifiedVMs`.
 */
function stateOf({ spec, status }: Node): string {
  if (status === undefined) return '';
  const closed = [
    ...(spec?.cordon === true ? ['Cordoned'] : []),
    ...(status.shutdown === undefined ? [] : ['ShuttingDown']),
  ];
  const bad = status.conditions
    .filter(({ status: holds }) => holds !== ConditionStatus.CONDITION_STATUS_TRUE)
    .map(({ type }) => type)
    // That is what a cordon and a shutdown say.
    .filter((type) => closed.length === 0 || type !== 'Schedulable')
    .filter((type) => !SAID_OTHERWISE.has(type));
  const isFalse = (aspect: string): boolean =>
    status.conditions.some(
      ({ type, status: holds }) =>
        type === aspect && holds === ConditionStatus.CONDITION_STATUS_FALSE,
    );
  return [
    ...(bad.length === 0 ? ['Ready'] : bad.map((type) => `Not${type}`)),
    ...closed,
    ...(isFalse('MemoryAvailable') ? ['Overcommitted'] : []),
    ...(isFalse('AcceleratorAvailable') ? ['NoKvm'] : []),
    ...(status.unidentifiedVirtualMachines.length > 0 ? ['UnidentifiedVMs'] : []),
  ].join(',');
}

/** Of what VMs may have in all, such as `586Mi/15Gi`. */
function allocated(status: NodeStatus | undefined, resource: string): string {
  const available = status?.allocatable[resource];
  if (available === undefined) return '';
  const given = status?.allocated[resource] ?? '0';
  return `${amountText(resource, given)}/${amountText(resource, available)}`;
}

function ageOf(status: NodeStatus | undefined, nowMs: number): string {
  const started = status?.agentStartTime;
  return started === undefined ? '' : formatAge(nowMs - timestampMs(started));
}

function missingFeatures({ status }: Node): string {
  const missing = status?.hypervisor?.features.filter(({ available }) => !available) ?? [];
  return missing.map(({ name }) => name).join(',');
}

function nodeDocument({ metadata, spec, status }: Node): Document {
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Node',
    metadata: metadataDocument(metadata),
    spec: spec && withoutEmpty({ ...spec }),
    status: status && statusDocument(status),
  });
}

function statusDocument(status: NodeStatus): Document {
  const { hypervisor, operatingSystem } = status;
  return withoutEmpty({
    ...status,
    hypervisor:
      hypervisor &&
      withoutEmpty({
        ...hypervisor,
        features: hypervisor.features.map((feature) => withoutEmpty({ ...feature })),
      }),
    operatingSystem: operatingSystem && withoutEmpty({ ...operatingSystem }),
    conditions: conditionDocuments(status.conditions),
    controllers: status.controllers.map((controller) =>
      withoutEmpty({ ...controller, oldestAge: durationText(controller.oldestAge) }),
    ),
    unidentifiedVirtualMachines: status.unidentifiedVirtualMachines.map((vm) => ({ ...vm })),
    shutdown: status.shutdown && shutdownDocument(status.shutdown),
    origin: originDocument(status.origin),
    agentStartTime: timestampText(status.agentStartTime),
  });
}

/** While the hypervisor cannot be asked, nobody knows how many run. */
function runningVms({ status }: Node): string {
  const connected = status?.conditions.find(({ type }) => type === 'HypervisorConnected');
  const isKnown =
    connected === undefined || connected.status === ConditionStatus.CONDITION_STATUS_TRUE;
  return isKnown ? String(status?.runningVirtualMachines ?? 0) : '?';
}
