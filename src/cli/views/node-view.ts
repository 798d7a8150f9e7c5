import { ConditionStatus, type Node, type NodeStatus } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import {
  API_VERSION,
  conditionDocuments,
  type Document,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import { formatBytes } from '../output/quantities.ts';
import type { ResourceView } from '../output/resource-view.ts';
import { metadataDocument } from './vm-view.ts';

export function nodeView(nowMs: number): ResourceView<Node> {
  return {
    columns: [
      { header: 'NAME', value: nodeName },
      { header: 'STATE', value: ({ status }) => (status === undefined ? '' : stateOf(status)) },
      { header: 'VMS', value: ({ status }) => String(status?.runningVirtualMachines ?? 0) },
      { header: 'CPUS', value: ({ status }) => used(status, ({ cpus }) => String(cpus)) },
      {
        header: 'MEMORY',
        value: ({ status }) => used(status, ({ memoryBytes }) => formatBytes(memoryBytes)),
      },
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

function nodeName({ metadata }: Node): string {
  return metadata?.name ?? '';
}

/** `Ready`, or the conditions that do not hold. */
function stateOf({ conditions }: NodeStatus): string {
  const bad = conditions.filter(({ status }) => status !== ConditionStatus.CONDITION_STATUS_TRUE);
  return bad.length === 0 ? 'Ready' : bad.map(({ type }) => `Not${type}`).join(',');
}

function used(
  status: NodeStatus | undefined,
  amount: (resources: { readonly cpus: number; readonly memoryBytes: bigint }) => string,
): string {
  if (status?.capacity === undefined) return '';
  return `${amount(status.allocated ?? { cpus: 0, memoryBytes: 0n })}/${amount(status.capacity)}`;
}

function ageOf(status: NodeStatus | undefined, nowMs: number): string {
  const started = status?.agentStartTime;
  return started === undefined ? '' : formatAge(nowMs - timestampMs(started));
}

function missingFeatures({ status }: Node): string {
  const missing = status?.hypervisor?.features.filter(({ available }) => !available) ?? [];
  return missing.map(({ name }) => name).join(',');
}

function nodeDocument({ metadata, status }: Node): Document {
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Node',
    metadata: metadataDocument(metadata),
    status:
      status &&
      withoutEmpty({
        ...status,
        hypervisor:
          status.hypervisor &&
          withoutEmpty({
            ...status.hypervisor,
            features: status.hypervisor.features.map((feature) => withoutEmpty({ ...feature })),
          }),
        operatingSystem: status.operatingSystem && withoutEmpty({ ...status.operatingSystem }),
        capacity: status.capacity && withoutEmpty({ ...status.capacity }),
        allocated: status.allocated && withoutEmpty({ ...status.allocated }),
        conditions: conditionDocuments(status.conditions),
        origin: originDocument(status.origin),
        agentStartTime: timestampText(status.agentStartTime),
      }),
  });
}
