import type { Event, Guest, Operation } from '../../client/api.ts';
import { AgentError } from '../../core/errors.ts';
import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import { formatAge } from '../output/durations.ts';
import { formatBytes } from '../output/quantities.ts';
import { formatTable, printable } from '../output/table.ts';
import { type Fact, factsText, section } from './description-text.ts';
import { eventTypeWord, lastSeen, lastTimeMs } from './event-view.ts';
import { guestSummaryFacts } from './guest-view.ts';
import { machineFacts, volumesTable } from './machine-description.ts';
import { operationKindWord, operationStateWord } from './operation-view.ts';
import { pendingTable } from './pending-changes.ts';
import { vmInterfacesText } from './vm-interfaces.ts';
import { phaseWord, type VmDocument, vmName } from './vm-view.ts';

/** Those that happened last; more is what `novactl events` is for. */
const MOST_EVENTS = 10;

/** What there is to say of a VM. */
export interface VmKnowledge {
  readonly vm: VmDocument;
  /** In any order. */
  readonly events: readonly Event[];
  /** Those that have not ended. */
  readonly operations: readonly Operation[];
  /** What its guest says of itself; undefined where it was not asked, and why it has not answered. */
  readonly guest?: Guest | AgentError | undefined;
  readonly nowMs: number;
}

/** All there is to say of a VM, in one page, as `kubectl describe` has it. A part that has nothing to say is left out. */
export function vmDescription(knowledge: VmKnowledge): string {
  const { vm } = knowledge;
  return [
    factsText([...identityFacts(knowledge), ...stateFacts(knowledge)]),
    section('Machine', factsText(machineFacts(vm))),
    section('Volumes', volumesTable(vm)),
    section('Interfaces', vmInterfacesText(vm).trimStart()),
    section('Kept as it is, beside its manifest', keptLines(vm)),
    section('Waits for the next start', pendingTable(vm)),
    section('Conditions', conditionsTable(knowledge)),
    section('Migration', migrationText(knowledge)),
    section('Guest', guestText(knowledge)),
    section('Usage', factsText(usageFacts(vm))),
    section('Operations going on', operationsTable(knowledge)),
    eventsSection(knowledge.events, knowledge.nowMs),
  ].join('');
}

/** Of a VM that may be gone; empty if there are none. The events may be in any order. */
export function eventsSection(events: readonly Event[], nowMs: number): string {
  return section('Events', eventsTable(events, nowMs));
}

function identityFacts({ vm, nowMs }: VmKnowledge): readonly Fact[] {
  const { metadata, spec, status } = vm;
  const { labels = {}, annotations = {}, creationTimestamp } = metadata ?? {};
  const isKnown = spec !== undefined;
  return [
    ['Name', vmName(vm)],
    ['UID', metadata?.uid],
    ['Labels', pairs(labels)],
    ['Annotations', pairs(annotations)],
    ['Created', isKnown ? timeText(creationTimestamp, nowMs) : undefined],
    ['Generation', isKnown ? String(metadata?.generation ?? '') : undefined],
    ['Node', status?.nodeName],
    ['Ownership epoch', status?.ownershipEpoch === undefined ? '' : String(status.ownershipEpoch)],
    ['Run strategy', isKnown ? runStrategyOf(spec) : undefined],
  ];
}

/** What it does now, since when and why, and what comes next. */
function stateFacts({ vm, nowMs }: VmKnowledge): readonly Fact[] {
  const { reason = '', message, restart, ipAddresses = [] } = vm.status ?? {};
  const since = timeText(sinceOf(vm), nowMs);
  const { nextStartTime, attempts = 0, failedStarts = 0, lastFailure } = restart ?? {};
  const past =
    attempts + failedStarts > 0 ? ` after ${Math.max(attempts, failedStarts)} starts` : '';
  return [
    [
      'Phase',
      `${phaseWord(vm)}${reason === '' ? '' : ` (${reason})`}${since === '' ? '' : ` since ${since}`}`,
    ],
    ['Why', message],
    ['Starts again', nextStartTime === undefined ? '' : `${timeText(nextStartTime, nowMs)}${past}`],
    ['Last start failed', lastFailure],
    ['Addresses', ipAddresses.join(', ')],
  ];
}

/** Since when it is in its phase, as far as that is known. */
function sinceOf({ status }: VmDocument): string | undefined {
  const { phase, conditions = [], runningSince } = status ?? {};
  if (phase === 'Running' && runningSince !== undefined) return runningSince;
  const telling = phase === 'Paused' ? 'Paused' : 'Ready';
  return conditions.find(({ type }) => type === telling)?.lastTransitionTime;
}

function keptLines({ status }: VmDocument): string {
  return (status?.kept ?? []).map((one) => `${printable(one)}\n`).join('');
}

function conditionsTable({ vm, nowMs }: VmKnowledge): string {
  const rows = (vm.status?.conditions ?? []).map((condition) => {
    const { type = '', status = 'Unknown', reason = '', message = '' } = condition;
    const since = condition.lastTransitionTime;
    return [
      type,
      status,
      since === undefined ? '' : formatAge(nowMs - Date.parse(since)),
      reason,
      message,
    ];
  });
  return rows.length === 0
    ? ''
    : formatTable(['TYPE', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'], rows);
}

function migrationText({ vm, nowMs }: VmKnowledge): string {
  const { id = '', targetNode, startTime, progress = 0 } = vm.status?.migration ?? {};
  if (id === '') return '';
  return factsText([
    ['ID', id],
    ['To node', targetNode],
    ['Begun', timeText(startTime, nowMs)],
    ['Done', `${progress}%`],
  ]);
}

function guestText({ guest }: VmKnowledge): string {
  if (guest === undefined) return '';
  if (guest instanceof AgentError) return factsText([['Not known', guest.message]]);
  return factsText(guestSummaryFacts(guest));
}

function usageFacts({ status }: VmDocument): readonly Fact[] {
  const { resources, statistics } = status ?? {};
  if (statistics === undefined) return [];
  const { cpu, memory } = resources ?? {};
  const { diskReadBytes, diskWriteBytes, networkReceiveBytes, networkTransmitBytes } = statistics;
  return [
    ['CPU', ofAvailable(cpu)],
    ['Memory', ofAvailable(memory)],
    ['Disks', transfer('read', diskReadBytes, 'written', diskWriteBytes)],
    ['Network', transfer('received', networkReceiveBytes, 'sent', networkTransmitBytes)],
  ];
}

type UsageOf = Pick<
  NonNullable<NonNullable<NonNullable<VmDocument['status']>['resources']>['cpu']>,
  'used' | 'available'
>;

function ofAvailable(usage: UsageOf | undefined) {
  return usage === undefined ? '' : `${usage.used ?? '0'} of ${usage.available ?? '?'}`;
}

/** Since its run began on this node; empty if there was nothing. */
function transfer(
  inWord: string,
  inBytes: Amount | undefined,
  outWord: string,
  outBytes: Amount | undefined,
): string {
  const [taken, given] = [BigInt(inBytes ?? 0), BigInt(outBytes ?? 0)];
  if (taken === 0n && given === 0n) return '';
  return `${formatBytes(taken)} ${inWord}, ${formatBytes(given)} ${outWord}`;
}

type Amount = string | number | bigint;

function operationsTable({ operations }: VmKnowledge): string {
  const rows = operations.map((operation) => [
    operation.id,
    operationKindWord(operation),
    operationStateWord(operation),
    operation.step,
    operation.requestedBy,
  ]);
  return rows.length === 0 ? '' : formatTable(['ID', 'KIND', 'STATE', 'STEP', 'BY'], rows);
}

function eventsTable(events: readonly Event[], nowMs: number): string {
  const rows = events
    .toSorted((one, other) => lastTimeMs(one) - lastTimeMs(other))
    .slice(-MOST_EVENTS)
    .map((event) => [lastSeen(event, nowMs), eventTypeWord(event), event.reason, event.message]);
  return rows.length === 0 ? '' : formatTable(['LAST SEEN', 'TYPE', 'REASON', 'MESSAGE'], rows);
}

function pairs(map: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(map).map(([key, value]) => `${key}=${value}`);
}

/** `2026-01-02T12:00:00Z (3d2h ago)`, or `(in 5s)`; empty if it is not known. */
function timeText(time: string | undefined, nowMs: number): string {
  if (time === undefined) return '';
  const atMs = Date.parse(time);
  const ago = atMs <= nowMs ? `${formatAge(nowMs - atMs)} ago` : `in ${formatAge(atMs - nowMs)}`;
  return `${time.replace(/\.\d+Z$/, 'Z')} (${ago})`;
}
