import {
  type Condition,
  ConditionStatus,
  type ControllerStatus,
  type Node,
} from '../../client/api.ts';
import { durationMs, timestampMs } from '../../client/time.ts';
import { amountText, freeText } from '../output/amounts.ts';
import { enumWord } from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import { formatTable } from '../output/table.ts';

/** What a node has and has given away, by resource, its conditions, its controllers, and VMs of nobody knows whom: tables for people. */
export function nodeDetailsText({ status }: Node, nowMs: number): string {
  const { capacity = {}, allocatable = {}, allocated = {}, foreign = {} } = status ?? {};
  const { conditions = [], controllers = [], unidentifiedVirtualMachines = [] } = status ?? {};
  const amounts = Object.entries(capacity).map(([resource, all]) => {
    const available = allocatable[resource] ?? '0';
    const given = allocated[resource] ?? '0';
    const others = foreign[resource] ?? '0';
    const texts = [all, available, given, others].map((amount) => amountText(resource, amount));
    return [resource, ...texts, freeText(resource, available, given)];
  });
  // A cordon is no fault.
  const isWell = conditions.every(
    (condition) => condition.type === 'Schedulable' || holds(condition),
  );
  const resources = formatTable(
    ['RESOURCE', 'CAPACITY', 'ALLOCATABLE', 'ALLOCATED', 'FOREIGN', 'FREE'],
    amounts,
  );
  const aspects = formatTable(
    ['CONDITION', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'],
    told(conditions).map((condition) => conditionRow(condition, nowMs)),
  );
  const tables = [
    ...(isWell ? [resources, aspects] : [aspects, resources]),
    formatTable(
      ['CONTROLLER', 'DUE', 'OLDEST', 'WAITING', 'FAILING', 'RETRIES', 'LAST ERROR'],
      controllers.map(controllerRow),
    ),
  ];
  if (unidentifiedVirtualMachines.length > 0) {
    const rows = unidentifiedVirtualMachines.map(({ hypervisorName, uid }) => [
      hypervisorName,
      uid,
    ]);
    tables.push(formatTable(['UNIDENTIFIED VM', 'UID'], rows));
  }
  const advice = isWell
    ? ''
    : '\nWhat to do: run novactl doctor on the node, which looks for causes and says how to mend them\n';
  return tables.map((table) => `\n${table}`).join('') + advice;
}

function holds({ status }: Condition): boolean {
  return status === ConditionStatus.CONDITION_STATUS_TRUE;
}

/** What is wrong first, its cause before what follows from it, which names the cause instead of telling it again. */
function told(conditions: readonly Condition[]): readonly Condition[] {
  const ordered = conditions.toSorted((one, other) => rank(one) - rank(other));
  return ordered.map((condition, index) => {
    const { message } = condition;
    const before = ordered.slice(0, index).find((earlier) => earlier.message === message);
    if (message === '' || before === undefined) return condition;
    return { ...condition, message: `See ${before.type}` };
  });
}

function rank(condition: Condition): number {
  if (holds(condition)) return 3;
  if (condition.status !== ConditionStatus.CONDITION_STATUS_FALSE) return 2;
  // It follows from the others.
  return condition.type === 'Ready' ? 1 : 0;
}

function controllerRow(controller: ControllerStatus): readonly string[] {
  const { name, depth, oldestAge, waiting, failing, retries, lastError } = controller;
  const oldest = depth === 0 || oldestAge === undefined ? '' : formatAge(durationMs(oldestAge));
  return [name, `${depth}`, oldest, `${waiting}`, `${failing}`, `${retries}`, lastError];
}

function conditionRow(condition: Condition, nowMs: number): readonly string[] {
  const { type, status, lastTransitionTime: since, reason, message } = condition;
  const word = enumWord(ConditionStatus, 'CONDITION_STATUS', status) ?? 'Unknown';
  const age = since === undefined ? '' : formatAge(nowMs - timestampMs(since));
  return [type, word, age, reason, message];
}
