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
  const tables = [
    formatTable(['RESOURCE', 'CAPACITY', 'ALLOCATABLE', 'ALLOCATED', 'FOREIGN', 'FREE'], amounts),
    formatTable(
      ['CONDITION', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'],
      conditions.map((condition) => conditionRow(condition, nowMs)),
    ),
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
  return tables.map((table) => `\n${table}`).join('');
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
