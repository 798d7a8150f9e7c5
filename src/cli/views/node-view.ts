import { type Condition, ConditionStatus, type Node, type NodeStatus } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
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

/** How many run; while VMs cannot be asked after, that is not 0. */
function runningVms({ status }: Node): string {
  const isUnknown = status?.conditions.some(
    ({ type, status: holds }) =>
      (type === 'HypervisorConnected' && holds !== ConditionStatus.CONDITION_STATUS_TRUE) ||
      (type === 'VirtualMachinesRunning' && holds === ConditionStatus.CONDITION_STATUS_UNKNOWN),
  );
  return isUnknown === true ? 'unknown' : String(status?.runningVirtualMachines ?? 0);
}

function isFalse({ type, status }: Condition, wanted: string): boolean {
  return type === wanted && status === ConditionStatus.CONDITION_STATUS_FALSE;
}

/** What a node is while a condition is False that does not keep it from working. */
const WORDS: Readonly<Record<string, string>> = {
  MemoryAvailable: 'Overcommitted',
  AcceleratorAvailable: 'NoKvm',
  VirtualMachinesRunning: 'VMsDown',
};

/**
 * `Ready`, or the conditions that do not hold; beside it what is no fault of the node: `Cordoned`, `ShuttingDown`, `Overcommitted`,
 * `NoKvm`,
 * `VMsDown`, `UnidentifiedVMs`.
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
    // They are counted, and while they matter the node is not ready; and these are said in other words.
    .filter((type) => type !== 'VirtualMachinesIdentified' && WORDS[type] === undefined);
  const said = Object.entries(WORDS)
    .filter(([type]) => status.conditions.some((condition) => isFalse(condition, type)))
    .map(([, word]) => word);
  return [
    ...(bad.length === 0 ? ['Ready'] : bad.map((type) => `Not${type}`)),
    ...closed,
    ...said,
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
