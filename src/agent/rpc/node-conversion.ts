import { toDuration } from '../../client/time.ts';
import { formatBytesQuantity, formatMilliCpus } from '../../core/quantity.ts';
import {
  type ControllerStatus,
  type HypervisorStatus,
  type Node as NodeMessage,
  type NodeShutdown as NodeShutdownMessage,
  type Reservation as ReservationMessage,
  VirtualMachineShutdownState as State,
  type UnidentifiedVirtualMachine,
  type WatchNodeResponse,
} from '../../gen/novacron/agent/v1/node.ts';
import type { Amounts, Node, Reservation, UnidentifiedVm } from '../node/node.ts';
import type { ControllerState } from '../reconcile/reconciler.ts';
import type { WatchEvent } from '../reports/report.ts';
import type { GuestState, NodeShutdown } from '../shutdown/node-shutdown.ts';
import { toCondition, toEventType, toOrigin, toRef } from './common-conversion.ts';
import { toUint32, toUint64 } from './count-conversion.ts';
import { toTimestamp } from './time-conversion.ts';

const GUEST_STATE = {
  planned: State.VIRTUAL_MACHINE_SHUTDOWN_STATE_PLANNED,
  'waiting-for-guest': State.VIRTUAL_MACHINE_SHUTDOWN_STATE_WAITING_FOR_GUEST,
  'waiting-for-migration': State.VIRTUAL_MACHINE_SHUTDOWN_STATE_WAITING_FOR_MIGRATION,
  'cutting-power': State.VIRTUAL_MACHINE_SHUTDOWN_STATE_CUTTING_POWER,
  off: State.VIRTUAL_MACHINE_SHUTDOWN_STATE_OFF,
  'power-cut': State.VIRTUAL_MACHINE_SHUTDOWN_STATE_POWER_CUT,
  gone: State.VIRTUAL_MACHINE_SHUTDOWN_STATE_GONE,
  failed: State.VIRTUAL_MACHINE_SHUTDOWN_STATE_FAILED,
} as const satisfies Record<GuestState, State>;

export function toNode(node: Node): NodeMessage {
  return {
    metadata: {
      // Nodes belong to no namespace, as in Kubernetes.
      namespace: '',
      name: node.name,
      uid: node.uid,
      generation: toUint64(node.generation),
      labels: {},
      annotations: {},
      creationTimestamp: undefined,
    },
    spec: { ...node.spec },
    status: {
      agentVersion: node.agentVersion,
      peerProtocolMin: node.peerProtocolMin,
      peerProtocolMax: node.peerProtocolMax,
      advertiseAddress: node.advertiseAddress,
      hypervisor: toHypervisor(node),
      operatingSystem: { ...node.operatingSystem },
      capacity: toAmounts(node.capacity),
      allocatable: toAmounts(node.allocatable),
      allocated: toAmounts(node.allocated),
      foreign: toAmounts(node.foreign),
      conditions: node.conditions.map(toCondition),
      runningVirtualMachines: toUint32(node.runningVms),
      origin: toOrigin(node.origin),
      agentStartTime: toTimestamp(node.agentStartedAtMs),
      controllers: node.controllers.map(toController),
      unidentifiedVirtualMachines: node.unidentifiedVms.map(toUnidentified),
      shutdown: node.shutdown && toNodeShutdown(node.shutdown),
    },
  };
}

export function toWatchNodeResponse(event: WatchEvent<Node>): WatchNodeResponse {
  return {
    type: toEventType(event.type),
    node: 'object' in event ? toNode(event.object) : undefined,
    origin: toOrigin(event.origin),
  };
}

export function toUnidentified({
  hypervisorName,
  uid,
}: UnidentifiedVm): UnidentifiedVirtualMachine {
  return { hypervisorName, uid };
}

export function toReservation(reservation: Reservation): ReservationMessage {
  return {
    id: reservation.id,
    virtualMachine: toRef(reservation.vm),
    amounts: toAmounts(reservation.amounts),
    expireTime: toTimestamp(reservation.expiresAtMs),
  };
}

export function toNodeShutdown(shutdown: NodeShutdown): NodeShutdownMessage {
  return {
    requestedBy: shutdown.requestedBy,
    startTime: toTimestamp(shutdown.startedAtMs),
    deadline: toTimestamp(shutdown.deadlineMs),
    done: shutdown.isDone,
    virtualMachines: shutdown.guests.map(({ vm, state, message }) => ({
      virtualMachine: toRef(vm),
      state: GUEST_STATE[state],
      message,
    })),
  };
}

function toController(state: ControllerState): ControllerStatus {
  return {
    name: state.name,
    depth: toUint32(state.depth),
    oldestAge: toDuration(state.oldestAgeMs),
    waiting: toUint32(state.waiting),
    failing: toUint32(state.failing),
    retries: toUint64(state.retries),
    lastError: state.lastError,
  };
}

function toHypervisor({ hypervisor, hypervisorConnected, accelerator }: Node): HypervisorStatus {
  return {
    connected: hypervisorConnected,
    uri: hypervisor?.uri ?? '',
    libvirtVersion: hypervisor?.libvirtVersion ?? '',
    qemuVersion: hypervisor?.qemuVersion ?? '',
    accelerator: accelerator ?? '',
    architecture: hypervisor?.architecture ?? '',
    cpuModel: hypervisor?.cpuModel ?? '',
    machineTypes: [...(hypervisor?.machineTypes ?? [])],
    features: (hypervisor?.features ?? []).map((feature) => ({ ...feature })),
  };
}

function toAmounts(amounts: Amounts): Record<string, string> {
  return Object.fromEntries(
    Object.entries(amounts).map(([resource, amount]) => [
      resource,
      resource === 'cpu' ? formatMilliCpus(amount) : formatBytesQuantity(BigInt(amount)),
    ]),
  );
}
