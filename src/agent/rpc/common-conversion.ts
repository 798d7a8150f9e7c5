import {
  type Condition as ConditionMessage,
  ConditionStatus,
  type ReportOrigin as ReportOriginMessage,
  type VirtualMachineRef,
  type WatchCursor as WatchCursorMessage,
  WatchEventType,
} from '../../gen/novacron/agent/v1/common.ts';
import type {
  Condition,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';
import type { VmRef } from '../vms/vm.ts';
import { toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { toTimestamp } from './time-conversion.ts';

const CONDITION_STATUS = {
  true: ConditionStatus.CONDITION_STATUS_TRUE,
  false: ConditionStatus.CONDITION_STATUS_FALSE,
  unknown: ConditionStatus.CONDITION_STATUS_UNKNOWN,
} as const;

const EVENT_TYPE = {
  added: WatchEventType.WATCH_EVENT_TYPE_ADDED,
  modified: WatchEventType.WATCH_EVENT_TYPE_MODIFIED,
  deleted: WatchEventType.WATCH_EVENT_TYPE_DELETED,
  synced: WatchEventType.WATCH_EVENT_TYPE_SYNCED,
  reset: WatchEventType.WATCH_EVENT_TYPE_RESET,
} as const;

export function toOrigin(origin: ReportOrigin): ReportOriginMessage {
  return {
    nodeName: origin.nodeName,
    nodeBootId: origin.nodeBootId,
    agentEpoch: toUint64(origin.agentEpoch),
    revision: toUint64(origin.revision),
  };
}

export function toCondition(condition: Condition): ConditionMessage {
  return {
    type: condition.type,
    status: CONDITION_STATUS[condition.status],
    reason: condition.reason,
    message: condition.message,
    lastTransitionTime: toTimestamp(condition.lastTransitionAtMs),
    observedGeneration: toUint64(condition.observedGeneration ?? 0),
  };
}

export function toEventType(type: WatchEvent<unknown>['type']): WatchEventType {
  return EVENT_TYPE[type];
}

export function fromCursor(
  cursor: WatchCursorMessage | undefined,
  checks: FieldChecks,
): WatchCursor | undefined {
  if (cursor === undefined) return undefined;
  return {
    agentEpoch: checks.count('cursor.agentEpoch', cursor.agentEpoch),
    revision: checks.count('cursor.revision', cursor.revision),
  };
}

/** More would be sent as several pages anyway. */
const MAX_PAGE_SIZE = 1_000;

export function fromPage(
  request: { readonly pageSize: number; readonly pageToken: string },
  checks: FieldChecks,
): PageRequest {
  const size = checks.integer('pageSize', request.pageSize, 0, MAX_PAGE_SIZE);
  return { size, token: request.pageToken };
}

export function fromRef(
  message: VirtualMachineRef | undefined,
  field: string,
  checks: FieldChecks,
): VmRef {
  const ref = checks.required(field, message);
  if (ref === undefined) return { namespace: '', name: '', uid: undefined };
  return {
    namespace: checks.namespace(`${field}.namespace`, ref.namespace),
    name: checks.dnsLabel(`${field}.name`, ref.name),
    uid: checks.optionalUuid(`${field}.uid`, ref.uid),
  };
}

export function toRef(ref: VmRef): VirtualMachineRef {
  return { namespace: ref.namespace, name: ref.name, uid: ref.uid ?? '' };
}
