import { AgentError } from '../../core/errors.ts';
import { memoryBytesOf, vcpusOf } from '../../core/resources/machine-amounts.ts';
import { isReadOnly, pathOf } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import { type HypervisorVm, hypervisorNameOf } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import type { Ownership } from '../vms/ownership.ts';
import { assertRead } from '../vms/unread-vms.ts';
import type { Vm } from '../vms/vm.ts';
import type { IncomingVm, MigrationBlocker, MigrationSpec, PeerHandshake } from './migration.ts';
import type { Way } from './outgoing-migration.ts';
import type { Peer, Peers } from './peers.ts';
import { PEER_PROTOCOL_MAX, PEER_PROTOCOL_MIN, requiredFeaturesOf } from './protocol.ts';

export interface PreflightOptions {
  readonly nodeName: string;
  readonly agentVersion: string;
  readonly hypervisor: Pick<Hypervisor, 'host' | 'domains'>;
  readonly privateFiles: Pick<PrivateFiles, 'read'>;
  readonly peers: Peers;
  readonly ownership: Pick<Ownership, 'isStale' | 'find'>;
  readonly nodeShutdown: Pick<ShutdownMark, 'isGoingDown'>;
}

export interface PreflightReport {
  readonly blockers: readonly MigrationBlocker[];
  /** What the guest has now. */
  readonly memoryBytes: number;
  /** Undefined if the peer could not be found or reached; a blocker says why. */
  readonly way: Way | undefined;
}

/**
 * Looks at both nodes and names everything that stands in the way at once. Changes nothing. Fails with STATE_NOT_READY for a
 * VM that could not be read.
 */
export async function preflight(
  vm: Vm,
  spec: MigrationSpec,
  options: PreflightOptions,
  signal: AbortSignal,
): Promise<PreflightReport> {
  const { hypervisor, nodeName } = options;
  assertRead(vm);
  const info = await hypervisor.host.getInfo(signal);
  const found = await hypervisor.domains.find(vm.definition.uid, signal);
  const definition = found?.definition ?? vm.definition;
  const stale = staleBlocker(definition, options);
  // Whatever else stands in the way is of no use to know: it is not the VM.
  if (stale !== undefined) {
    return { blockers: [stale], memoryBytes: found?.memoryBytes ?? 0, way: undefined };
  }
  // What is pending is not what moves.
  const machine = (found?.liveDefinition ?? definition).spec.template.spec;
  const incoming: IncomingVm = {
    definition,
    machineType: vm.machineType,
    accelerator: vm.accelerator,
    memoryBytes: found?.memoryBytes ?? memoryBytesOf(machine),
    vcpus: found?.vcpus ?? vcpusOf(machine),
    cpu: found?.cpu ?? '',
    hypervisorName: found?.hypervisorName ?? hypervisorNameOf(definition),
    privateFiles: {},
    sourceHostUuid: info.hostUuid,
    sourceQemuVersion: info.qemuVersion,
    requiredFeatures: requiredFeaturesOf(definition),
  };
  const blockers = localBlockers(vm, found, spec, nodeName);
  if (options.nodeShutdown.isGoingDown) blockers.push(goingDown(nodeName));
  const privateFiles = await readFiles(definition, options, blockers, signal);
  try {
    const peer = options.peers.find(spec.destinationNode, spec.destinationAddress);
    const hello = await shakeHands(peer, info.hostUuid, options, incoming.requiredFeatures, signal);
    // To be asked whether the VM may come, it need not know what is in the files.
    const there = await peer.check(incoming, signal);
    blockers.push(...there.map((blocker) => ({ ...blocker, nodeName: spec.destinationNode })));
    const whole = { ...incoming, privateFiles };
    const way = { incoming: whole, destinationHostUuid: hello.hostUuid };
    return { blockers, memoryBytes: incoming.memoryBytes, way };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    blockers.push({
      reason: error.reason,
      message: error.message,
      nodeName: spec.destinationNode,
      subject: 'spec.destination',
    });
    return { blockers, memoryBytes: incoming.memoryBytes, way: undefined };
  }
}

/** Throws MIGRATION_BLOCKED (or the only blocker's own reason) if anything stands in the way. */
export function assertUnblocked(blockers: readonly MigrationBlocker[], vmName: string): void {
  const [first] = blockers;
  if (first === undefined) return;
  const only = blockers.length === 1;
  throw new AgentError(
    only ? first.reason : 'MIGRATION_BLOCKED',
    `Cannot migrate VM ${vmName}: ${blockers.map((blocker) => blocker.message).join('; ')}`,
    {
      metadata: { node: first.nodeName },
      violations: blockers.map((blocker) => ({
        field: blocker.subject === '' ? blocker.nodeName : blocker.subject,
        description: blocker.message,
      })),
    },
  );
}

/** A copy that another node owns by now must not reach a third one as if it were the VM. */
function staleBlocker(
  definition: VmDefinition,
  { ownership, nodeName }: PreflightOptions,
): MigrationBlocker | undefined {
  if (!ownership.isStale(definition)) return undefined;
  const owner = ownership.find(definition.uid)?.left?.toNode;
  return {
    reason: 'VM_NOT_OWNED',
    message: `this is a stale copy of it, with ownership epoch ${definition.ownershipEpoch}: node ${owner} owns it; migrate it from there`,
    nodeName,
    subject: 'spec.virtualMachine',
  };
}

function goingDown(nodeName: string): MigrationBlocker {
  return {
    reason: 'NODE_SHUTTING_DOWN',
    message:
      'the node that it is on is being shut down and its guest was asked to power off; if the host stays up, call that off with "novactl node shutdown-vms --abort"',
    nodeName,
    subject: 'spec.virtualMachine',
  };
}

function localBlockers(
  vm: Vm,
  found: HypervisorVm | undefined,
  spec: MigrationSpec,
  nodeName: string,
): MigrationBlocker[] {
  const blockers: MigrationBlocker[] = [];
  const block = (reason: MigrationBlocker['reason'], message: string, subject: string): void => {
    blockers.push({ reason, message, nodeName, subject });
  };
  if (spec.destinationNode === nodeName) {
    block('MIGRATION_BLOCKED', 'the VM is on that node already', 'spec.destination.nodeName');
  }
  if (found?.state !== 'running') {
    block(
      'VM_NOT_RUNNING',
      `VM ${vm.definition.name} is ${found?.state ?? 'gone'}; only a running VM can be live-migrated: start it, or resume it`,
      'spec.virtualMachine',
    );
  }
  const { migrationPolicy } = vm.definition.spec;
  if (migrationPolicy?.allowLiveMigration === false) {
    block(
      'MIGRATION_BLOCKED',
      'its migration policy does not allow it to be moved live; shut it down, or apply its manifest with allowLiveMigration: true',
      'spec.migrationPolicy.allowLiveMigration',
    );
  }
  const { template } = (found?.liveDefinition ?? vm.definition).spec;
  for (const [index, volume] of (template.spec.volumes ?? []).entries()) {
    if (volume.shared === true || isReadOnly(volume)) continue;
    block(
      'MIGRATION_BLOCKED',
      `volume ${volume.name} (${pathOf(volume)}) is not on shared storage, and copying volumes is not supported; put it on storage that both nodes reach under this path and mark it shared`,
      `spec.template.spec.volumes[${index}]`,
    );
  }
  return blockers;
}

/** What the files of a VM hold, by name. One that cannot be read keeps the VM here. */
async function readFiles(
  { uid, privateFiles: files }: VmDefinition,
  { privateFiles, nodeName }: PreflightOptions,
  blockers: MigrationBlocker[],
  signal: AbortSignal,
): Promise<IncomingVm['privateFiles']> {
  const contents: Record<string, Uint8Array> = {};
  for (const [name, digest] of Object.entries(files)) {
    try {
      contents[name] = await privateFiles.read(uid, name, digest, signal);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      const { reason, message } = error;
      blockers.push({ reason, message, nodeName, subject: 'spec.template.spec' });
    }
  }
  return contents;
}

async function shakeHands(
  peer: Peer,
  hostUuid: string,
  options: PreflightOptions,
  requiredFeatures: readonly string[],
  signal: AbortSignal,
): Promise<PeerHandshake> {
  const hello = await peer.handshake(
    {
      protocolMin: PEER_PROTOCOL_MIN,
      protocolMax: PEER_PROTOCOL_MAX,
      agentVersion: options.agentVersion,
      requiredFeatures,
    },
    signal,
  );
  if (hello.protocol < PEER_PROTOCOL_MIN || hello.protocol > PEER_PROTOCOL_MAX) {
    throw new AgentError(
      'PEER_INCOMPATIBLE',
      `agent ${hello.agentVersion} of node ${peer.nodeName} speaks version ${hello.protocol} of the peer protocol, this one (${options.agentVersion}) ${PEER_PROTOCOL_MIN} to ${PEER_PROTOCOL_MAX}; upgrade the older of the two`,
    );
  }
  if (hello.nodeName !== peer.nodeName) {
    throw new AgentError(
      'PEER_UNREACHABLE',
      `node ${hello.nodeName} answers at the address given for ${peer.nodeName}; correct the address`,
    );
  }
  if (hello.hostUuid === hostUuid) {
    throw new AgentError(
      'MIGRATION_BLOCKED',
      `node ${peer.nodeName} has the same host UUID ${hostUuid} as this node; set another host_uuid in its /etc/libvirt/libvirtd.conf`,
    );
  }
  return hello;
}
