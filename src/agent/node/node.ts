import type { HypervisorInfo } from '../../drivers/hypervisor.ts';
import type { Condition, ReportOrigin } from '../report-origin.ts';

/** This node as callers see it. */
export interface Node {
  readonly name: string;
  /** The host's UUID; empty until the hypervisor was reached once. */
  readonly uid: string;
  readonly agentVersion: string;
  readonly peerProtocolMin: number;
  readonly peerProtocolMax: number;
  readonly advertiseAddress: string;
  readonly hypervisorConnected: boolean;
  /** As last read; undefined until the hypervisor was reached once. */
  readonly hypervisor: HypervisorInfo | undefined;
  /** What new VMs run on. */
  readonly accelerator: 'kvm' | 'tcg';
  readonly operatingSystem: OperatingSystem;
  readonly capacity: Resources;
  readonly allocated: Resources;
  readonly conditions: readonly Condition[];
  readonly runningVms: number;
  readonly agentStartedAtMs: number;
  readonly origin: ReportOrigin;
}

interface OperatingSystem {
  readonly prettyName: string;
  readonly kernelRelease: string;
  readonly hostname: string;
}

export interface Resources {
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** Tells about this node. */
export interface NodeService {
  get(signal: AbortSignal): Promise<Node>;
  /** The node as it is, then every change that matters. */
  watch(signal: AbortSignal): AsyncIterable<Node>;
}
