import type { VirtualMachine } from '../../client/api.ts';
import { fromVirtualMachineMessage } from '../../client/resource-messages.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import { formatAge } from '../output/durations.ts';
import { formatBytes } from '../output/quantities.ts';
import type { Column, ResourceView } from '../output/resource-view.ts';
import type { ChangeWords } from './watch-event.ts';

/** A VM in the form of its manifest, which `vm apply -f` reads, with its status. */
export type VmDocument = ReturnType<typeof vmDocument>;

export function vmDocument(vm: VirtualMachine) {
  return { apiVersion: API_VERSION, kind: 'VirtualMachine', ...fromVirtualMachineMessage(vm) };
}

export function phaseWord({ status }: Pick<VmDocument, 'status'>): string {
  return status?.phase ?? 'Unknown';
}

/** `NAMESPACE/NAME`, as commands take it. */
export function vmName(vm: {
  readonly metadata?: { readonly namespace?: string; readonly name?: string } | undefined;
}): string {
  return `${vm.metadata?.namespace || 'default'}/${vm.metadata?.name ?? ''}`;
}

const NAMESPACE_COLUMN: Column<VmDocument> = {
  header: 'NAMESPACE',
  value: ({ metadata }) => metadata?.namespace ?? '',
};

/** How VMs are shown; the namespace's column only where several may be listed. */
export function vmView(options: {
  readonly nowMs: number;
  readonly showNamespace: boolean;
}): ResourceView<VmDocument> {
  const columns: readonly Column<VmDocument>[] = [
    { header: 'NAME', value: ({ metadata }) => metadata?.name ?? '' },
    { header: 'PHASE', value: phaseWord },
    { header: 'REASON', value: ({ status }) => status?.reason ?? '' },
    { header: 'NODE', value: ({ status }) => status?.nodeName ?? '' },
    { header: 'ADDRESSES', spare: 2, value: ({ status }) => (status?.ipAddresses ?? []).join(',') },
    { header: 'CPUS', spare: 4, value: (vm) => resourcesOf(vm)?.cpu ?? '' },
    { header: 'MEMORY', spare: 3, value: (vm) => resourcesOf(vm)?.memory ?? '' },
    { header: 'MIGRATABLE', value: migratable },
    { header: 'UPTIME', spare: 1, value: (vm) => uptimeOf(vm, options.nowMs) },
    { header: 'AGE', spare: 5, value: (vm) => ageOf(vm, options.nowMs) },
    { header: 'STRATEGY', wide: true, value: ({ spec }) => (spec ? runStrategyOf(spec) : '') },
    { header: 'CPU USED', wide: true, value: cpuUsed },
    { header: 'MEMORY USED', wide: true, value: memoryUsed },
    { header: 'ACCELERATOR', wide: true, value: ({ status }) => status?.accelerator ?? '' },
    { header: 'MACHINE', wide: true, value: ({ status }) => status?.machineType ?? '' },
    { header: 'INTERFACES', wide: true, value: interfaces },
    { header: 'MIGRATION', wide: true, value: migration },
    { header: 'PENDING', wide: true, value: pending },
    { header: 'STARTS AGAIN', wide: true, value: startsAgain },
    { header: 'UID', wide: true, value: ({ metadata }) => metadata?.uid ?? '' },
    { header: 'MESSAGE', wide: true, value: ({ status }) => status?.message ?? '' },
  ];
  return {
    columns: options.showNamespace ? [NAMESPACE_COLUMN, ...columns] : columns,
    document: (vm) => vm,
    name: vmName,
  };
}

export const VM_CHANGE_WORDS: ChangeWords<VirtualMachine> = {
  name: vmName,
  state: (vm) => phaseWord(vmDocument(vm)),
  message: ({ status }) => status?.message ?? '',
  document: vmDocument,
};

function resourcesOf({ spec }: VmDocument) {
  return spec?.template.spec.resources;
}

function ageOf({ metadata }: VmDocument, nowMs: number): string {
  const made = metadata?.creationTimestamp;
  return made === undefined ? '' : formatAge(nowMs - Date.parse(made));
}

/** Empty while it is off, and where nobody knows since when it is on. */
function uptimeOf({ status }: VmDocument, nowMs: number): string {
  const since = status?.runningSince;
  return since === undefined ? '' : formatAge(nowMs - Date.parse(since));
}

function cpuUsed({ status }: VmDocument): string {
  return status?.statistics?.cpuUsageCores?.toFixed(2) ?? '';
}

function memoryUsed({ status }: VmDocument): string {
  const bytes = status?.statistics?.memoryRssBytes;
  return bytes === undefined ? '' : formatBytes(BigInt(bytes));
}

/** `yes`, or `no` and why, such as `no (DiskLocal)`; empty where nobody can tell. */
function migratable({ status }: VmDocument): string {
  const condition = status?.conditions?.find(({ type }) => type === 'LiveMigratable');
  if (condition?.status === 'True') return 'yes';
  return condition?.status === 'False' ? `no (${condition.reason ?? ''})` : '';
}

/** What each is connected to, such as `lan=br0`. */
function interfaces({ status }: VmDocument): string {
  return (status?.interfaces ?? [])
    .map(({ name = '', bridge = '' }) => (bridge === '' ? name : `${name}=${bridge}`))
    .join(',');
}

function migration({ status }: VmDocument): string {
  const { id = '', targetNode = '', progress = 0 } = status?.migration ?? {};
  return id === '' ? '' : `${id} to ${targetNode}, ${progress}%`;
}

/** When, and what has come of the starts before: `12:04:05Z, 3 failed`. */
function startsAgain({ status }: VmDocument): string {
  const { nextStartTime, attempts = 0, failedStarts = 0 } = status?.restart ?? {};
  const at = nextStartTime === undefined ? [] : [`${nextStartTime.slice(11, 19)}Z`];
  const past = failedStarts > 0 ? [`${failedStarts} failed`] : [];
  const early = attempts > failedStarts ? [`${attempts - failedStarts} ended early`] : [];
  return [...at, ...past, ...early].join(', ');
}

/** What is in force only after the next start, by the last words of the fields. */
function pending({ status }: VmDocument): string {
  return (status?.pendingFields ?? [])
    .map((field) => field.replace(/^spec\.template\.spec\./, ''))
    .join(',');
}
