import { AgentError } from '../../core/errors.ts';
import { memoryBytesOf, vcpusOf } from '../../core/resources/machine-amounts.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import { type HypervisorVm, hypervisorNameOf } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { FreezeBook } from '../guests/freeze-book.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import type { Ownership } from '../vms/ownership.ts';
import { assertRead } from '../vms/unread-vms.ts';
import type { Vm } from '../vms/vm.ts';
import { commandNameOf } from '../vms/vm-words.ts';
import { blockerOf, frozenBlocker } from './blockers.ts';
import { checkDisks, type DiskCheckOptions } from './disk-check.ts';
import { type DiskBlocker, localDiskBlockers } from './disk-judge.ts';
import type {
  IncomingBlocker,
  IncomingVm,
  MigrationBlocker,
  MigrationImage,
  MigrationSpec,
  PeerHandshake,
} from './migration.ts';
import type { Way } from './outgoing-context.ts';
import type { Peer, Peers } from './peers.ts';
import { PEER_PROTOCOL_MAX, PEER_PROTOCOL_MIN, requiredFeaturesOf } from './protocol.ts';

export interface PreflightOptions extends DiskCheckOptions {
  readonly agentVersion: string;
  readonly hypervisor: Pick<Hypervisor, 'host' | 'domains' | 'jobs'>;
  readonly privateFiles: Pick<PrivateFiles, 'read'>;
  readonly peers: Peers;
  readonly ownership: Pick<Ownership, 'isStale' | 'find' | 'doubtOf' | 'isSettled'>;
  readonly nodeShutdown: Pick<ShutdownMark, 'isGoingDown'>;
  readonly freezes: Pick<FreezeBook, 'find'>;
}

export interface PreflightReport {
  readonly blockers: readonly MigrationBlocker[];
  readonly images: readonly MigrationImage[];
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
  const only = staleBlocker(definition, options) ?? sameNodeBlocker(spec, nodeName);
  // Whatever else stands in the way is of no use to know: it is not the VM, or it need not go anywhere.
  if (only !== undefined) {
    const memoryBytes = found?.memoryBytes ?? 0;
    return { blockers: [only], images: [], memoryBytes, way: undefined };
  }
  // What is pending is not what moves.
  const machine = (found?.liveDefinition ?? definition).spec.template.spec;
  const incoming: IncomingVm = {
    // By the same word the other node may have raised its epoch by one, and moved the VM on too: no two may have the same.
    definition: options.ownership.isSettled(definition.uid)
      ? { ...definition, ownershipEpoch: definition.ownershipEpoch + 1 }
      : definition,
    machineType: vm.machineType,
    accelerator: vm.accelerator,
    memoryBytes: found?.memoryBytes ?? memoryBytesOf(machine),
    vcpus: found?.vcpus ?? vcpusOf(machine),
    cpu: found?.cpu ?? '',
    bridges: bridgesOf(found),
    hypervisorName: found?.hypervisorName ?? hypervisorNameOf(definition),
    privateFiles: {},
    sourceHostUuid: info.hostUuid,
    sourceQemuVersion: info.qemuVersion,
    requiredFeatures: requiredFeaturesOf(definition, found?.liveDefinition),
  };
  const blockers = localBlockers(vm, found, nodeName);
  if (options.nodeShutdown.isGoingDown) blockers.push(goingDown(nodeName));
  if (options.freezes.find(definition.uid) !== undefined) {
    blockers.push(frozenBlocker(definition, nodeName));
  }
  const message = options.ownership.doubtOf(definition);
  if (message !== undefined) {
    blockers.push({ reason: 'VM_BUSY', message, nodeName, subject: 'spec.virtualMachine' });
  }
  if (found?.state === 'running') {
    const obstacles = await hypervisor.jobs.findObstacles(found.uid, signal);
    blockers.push(...obstacles.map((obstacle) => blockerOf(obstacle, found, nodeName)));
  }
  let images: readonly MigrationImage[] = [];
  const privateFiles = await readFiles(definition, options, blockers, signal);
  try {
    const { destinationNode, destinationAddress } = spec;
    return await options.peers.visit(destinationNode, destinationAddress, async (peer) => {
      const { requiredFeatures } = incoming;
      const hello = await shakeHands(peer, info.hostUuid, options, requiredFeatures, signal);
      // To be asked whether the VM may come, it need not know what is in the files.
      const there = await peer.check(incoming, signal);
      const toldOfThere = there.map((blocker) => ({ ...blocker, nodeName: destinationNode }));
      blockers.push(...toldOfThere);
      if (found?.state === 'running') {
        const disks = await checkDisks(found, spec, peer, options, signal);
        const misleading = toldOfThere.filter((blocker) => isOfLost(blocker, disks.blockers));
        for (const one of misleading) blockers.splice(blockers.indexOf(one), 1);
        const unsaid = disks.blockers.filter((blocker) => !isSaid(blocker, there));
        blockers.push(...unsaid.map(withoutFinding));
        images = disks.images;
      }
      const whole = { ...incoming, privateFiles };
      const way = { incoming: whole, destinationHostUuid: hello.hostUuid };
      return { blockers, images, memoryBytes: incoming.memoryBytes, way };
    });
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    blockers.push({
      reason: error.reason,
      message: error.message,
      nodeName: spec.destinationNode,
      subject: 'spec.destination',
    });
    return { blockers, images, memoryBytes: incoming.memoryBytes, way: undefined };
  }
}

function bridgesOf(vm: HypervisorVm | undefined): readonly string[] {
  return [...new Set((vm?.interfaces ?? []).flatMap(({ bridge }) => bridge ?? []))];
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

function sameNodeBlocker(
  { destinationNode }: MigrationSpec,
  nodeName: string,
): MigrationBlocker | undefined {
  if (destinationNode !== nodeName) return undefined;
  return {
    reason: 'MIGRATION_BLOCKED',
    message: 'the VM is on that node already',
    nodeName,
    subject: 'spec.destination.nodeName',
  };
}

function withoutFinding({ reason, message, nodeName, subject }: DiskBlocker): MigrationBlocker {
  return { reason, message, nodeName, subject };
}

/** Of what its VMs may not have, and of what it does not have, the destination has said so already, where the spec names it. */
function isSaid(
  { reason, subject, lacks }: DiskBlocker,
  there: readonly IncomingBlocker[],
): boolean {
  if (lacks !== undefined) {
    // One that is said for several images names the field of the first alone.
    return there.some(
      (said) => said.reason === 'IMAGE_NOT_FOUND' && said.message.includes(`is ${lacks}, `),
    );
  }
  if (reason !== 'IMAGE_NOT_ALLOWED') return false;
  return there.some(
    (said) =>
      ['IMAGE_NOT_ALLOWED', 'DEVICE_IN_USE'].includes(said.reason) &&
      said.subject.startsWith(`${subject}.`),
  );
}

/** What this node has lost under a VM that runs, nobody can put there either. */
function isOfLost({ reason, message }: IncomingBlocker, disks: readonly DiskBlocker[]): boolean {
  const lost = disks.flatMap(({ lost: path }) => path ?? []);
  const more = Number(/\(and (\d+) more problems?\)$/.exec(message)?.[1] ?? 0);
  return (
    reason === 'IMAGE_NOT_FOUND' &&
    lost.some((path) => message.includes(`is ${path}, `)) &&
    more < lost.length
  );
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
  nodeName: string,
): MigrationBlocker[] {
  const blockers: MigrationBlocker[] = [];
  const block = (reason: MigrationBlocker['reason'], message: string, subject: string): void => {
    blockers.push({ reason, message, nodeName, subject });
  };
  if (found?.state === 'paused' && vm.phase === 'paused') {
    const { definition, reason, message } = vm;
    block(
      'VM_PAUSED',
      `VM ${definition.name} is paused (${reason}), and only one that goes on can be live-migrated. ${message}`,
      'spec.virtualMachine',
    );
  } else if (found?.state !== 'running') {
    block(
      'VM_NOT_RUNNING',
      `VM ${vm.definition.name} is ${found?.state ?? 'gone'}; only a running VM can be live-migrated: start it with novactl vm start ${commandNameOf(vm.definition)}`,
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
  const running = found?.liveDefinition ?? found?.definition ?? vm.definition;
  if (running.spec.template.spec.cpu?.dedicated === true) {
    block(
      'MIGRATION_BLOCKED',
      'it has CPUs of this node for itself, which another node could not give it while it moves; shut it down, or apply its manifest without cpu.dedicated and restart it',
      'spec.template.spec.cpu.dedicated',
    );
  }
  if (found !== undefined) blockers.push(...localDiskBlockers(found, nodeName));
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
