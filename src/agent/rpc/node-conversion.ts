import type {
  HypervisorStatus,
  Node as NodeMessage,
  Resources as ResourcesMessage,
} from '../../gen/novacron/agent/v1/node.ts';
import type { Node, Resources } from '../node/node.ts';
import { toCondition, toOrigin } from './common-conversion.ts';
import { toUint32, toUint64 } from './count-conversion.ts';
import { toTimestamp } from './time-conversion.ts';

export function toNode(node: Node): NodeMessage {
  return {
    metadata: {
      // Nodes belong to no namespace and have no spec, as in Kubernetes.
      namespace: '',
      name: node.name,
      uid: node.uid,
      generation: 0n,
      labels: {},
      annotations: {},
      createTime: undefined,
    },
    status: {
      agentVersion: node.agentVersion,
      peerProtocolMin: node.peerProtocolMin,
      peerProtocolMax: node.peerProtocolMax,
      advertiseAddress: node.advertiseAddress,
      hypervisor: toHypervisor(node),
      operatingSystem: { ...node.operatingSystem },
      capacity: toResources(node.capacity),
      allocated: toResources(node.allocated),
      conditions: node.conditions.map(toCondition),
      runningVirtualMachines: toUint32(node.runningVms),
      origin: toOrigin(node.origin),
      agentStartTime: toTimestamp(node.agentStartedAtMs),
    },
  };
}

function toHypervisor({ hypervisor, hypervisorConnected, accelerator }: Node): HypervisorStatus {
  return {
    connected: hypervisorConnected,
    uri: hypervisor?.uri ?? '',
    libvirtVersion: hypervisor?.libvirtVersion ?? '',
    qemuVersion: hypervisor?.qemuVersion ?? '',
    accelerator,
    architecture: hypervisor?.architecture ?? '',
    cpuModel: hypervisor?.cpuModel ?? '',
    machineTypes: [...(hypervisor?.machineTypes ?? [])],
    features: (hypervisor?.features ?? []).map((feature) => ({ ...feature })),
  };
}

function toResources({ cpus, memoryBytes }: Resources): ResourcesMessage {
  return { cpus: toUint32(cpus), memoryBytes: toUint64(memoryBytes) };
}
