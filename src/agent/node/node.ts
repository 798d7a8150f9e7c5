import type { Machine } from '../../core/resources/machine.ts';
import type { HypervisorInfo } from '../../drivers/hypervisor-host.ts';
import type { ControllerState } from '../reconcile/reconciler.ts';
import type {
  Condition,
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';
import type { NodeShutdown } from '../shutdown/node-shutdown.ts';
import type { UnreadVm } from '../vms/unread-vms.ts';
import type { VmRef } from '../vms/vm.ts';

/** This node as callers see it. */
export interface Node {
  readonly name: string;
  /** The host's UUID; empty until the hypervisor was reached once. */
  readonly uid: string;
  readonly agentVersion: string;
  readonly peerProtocolMin: number;
  readonly peerProtocolMax: number;
  /** Empty where the node is alone. */
  readonly advertiseAddress: string;
  readonly hypervisorConnected: boolean;
  /** As last read; undefined until the hypervisor was reached once. */
  readonly hypervisor: HypervisorInfo | undefined;
  /** What new VMs run on; undefined until that is known. */
  readonly accelerator: 'kvm' | 'tcg' | undefined;
  readonly operatingSystem: OperatingSystem;
  readonly spec: NodeSpec;
  /** Of `spec`; starts at 1. */
  readonly generation: number;
  /** What the node has, what VMs may have of it, and what they have been given. */
  readonly capacity: Amounts;
  readonly allocatable: Amounts;
  readonly allocated: Amounts;
  /** What of `allocated` VMs have that no agent has made. */
  readonly foreign: Amounts;
  readonly conditions: readonly Condition[];
  /** What becomes of the VMs while the host is about to go down; undefined while it is not. */
  readonly shutdown: NodeShutdown | undefined;
  readonly runningVms: number;
  /** VMs that could not be read, and that this node is not known to own; no others are told of them. */
  readonly unidentifiedVms: readonly UnidentifiedVm[];
  /** Live figures: watchers are not told when only these change. */
  readonly controllers: readonly ControllerState[];
  readonly agentStartedAtMs: number;
  readonly origin: ReportOrigin;
}

interface OperatingSystem {
  readonly prettyName: string;
  readonly kernelRelease: string;
  readonly hostname: string;
}

/** What a node should be; survives the agent. */
export interface NodeSpec {
  /** It takes no new VMs. */
  readonly cordon: boolean;
  /** Why, for people; may be empty. */
  readonly cordonReason: string;
}

/** Amounts by resource: `cpu`, `memory`, `hugepages-2Mi`, `hugepages-1Gi`; CPUs in thousandths, all else in its unit. */
export type Amounts = Readonly<Record<string, number>>;

/** An amount of the node that is kept free for a VM. */
export interface Reservation {
  /** UUID chosen by the caller. */
  readonly id: string;
  readonly vm: VmRef;
  readonly amounts: Amounts;
  readonly expiresAtMs: number;
}

/** Tells about this node, and keeps parts of it free. */
export interface NodeService {
  get(signal: AbortSignal): Promise<Node>;
  /** The node as it is, then every change that matters. */
  watch(cursor: WatchCursor | undefined, signal: AbortSignal): AsyncIterable<WatchEvent<Node>>;
  /**
   * Has the agent serve although it is not known whether some VMs are this node's. Repeating it changes nothing. Fails with
   * STATE_NOT_READY while it is not known which VMs there are.
   */
  acceptUnidentified(acceptedBy: string, signal: AbortSignal): Promise<AcceptResult>;
  /**
   * Fails with NODE_CAPACITY_EXCEEDED, NODE_CORDONED, NODE_SHUTTING_DOWN or RESERVATION_ALREADY_EXISTS, with VM_ALREADY_EXISTS for a VM that is here, and
   * with VM_BUSY for a name that is set aside. Repeating it changes nothing.
   */
  reserve(request: ReserveRequest, signal: AbortSignal): Promise<Reservation>;
  /** One that is gone counts as released. */
  release(id: string, signal: AbortSignal): Promise<void>;
  listReservations(page: PageRequest, signal: AbortSignal): Promise<Page<Reservation>>;
}

/** A VM of the hypervisor that may be this node's or not. */
export type UnidentifiedVm = Pick<UnreadVm, 'uid' | 'hypervisorName'>;

export interface AcceptResult {
  readonly node: Node;
  /** The VMs that the agent goes on without. */
  readonly accepted: readonly UnidentifiedVm[];
}

export interface ReserveRequest {
  readonly id: string;
  readonly vm: VmRef;
  readonly machine: Machine;
  readonly ttlMs: number;
}
