import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { HypervisorMigration } from '../../../src/drivers/hypervisor-jobs.ts';
import {
  LibvirtHypervisor,
  type LibvirtHypervisorOptions,
} from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { PrivateLibvirt } from './private-libvirt.ts';

const MIB = 1024 * 1024;

/** A driver for a private libvirtd. */
export function openHypervisor(
  node: PrivateLibvirt,
  options: Partial<LibvirtHypervisorOptions> = {},
): LibvirtHypervisor {
  return new LibvirtHypervisor({
    uri: node.uri,
    nodeDefaults: {
      accelerator: 'tcg',
      defaultMachineType: 'q35',
      defaultCpuModel: 'qemu64',
      consoleDirectory: node.consoleDirectory,
    },
    ...options,
  });
}

/** Two private libvirtd that see each other's sockets, and their drivers. */
export class LibvirtPair implements AsyncDisposable {
  readonly sourceNode: PrivateLibvirt;
  readonly destinationNode: PrivateLibvirt;
  readonly source: LibvirtHypervisor;
  readonly destination: LibvirtHypervisor;

  private constructor(sourceNode: PrivateLibvirt, destinationNode: PrivateLibvirt) {
    this.sourceNode = sourceNode;
    this.destinationNode = destinationNode;
    this.source = openHypervisor(sourceNode);
    this.destination = openHypervisor(destinationNode);
  }

  static async start(): Promise<LibvirtPair> {
    const [source, destination] = await Promise.all([
      PrivateLibvirt.start(),
      PrivateLibvirt.start(),
    ]);
    return new LibvirtPair(source, destination);
  }

  migration(definition: VmDefinition, speed: 'fast' | 'slow'): HypervisorMigration {
    return {
      transport: {
        kind: 'stream',
        destinationSocket: this.destinationNode.socket,
        memorySocket: join(this.destinationNode.folder, `${definition.uid.slice(0, 8)}.sock`),
      },
      mode: 'precopy',
      copiedVolumes: [],
      maxDowntimeMs: undefined,
      bandwidthBytesPerSecond: speed === 'slow' ? MIB : undefined,
      destinationFacts: { ownershipEpoch: definition.ownershipEpoch + 1, owner: randomUUID() },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      this.source[Symbol.asyncDispose](),
      this.destination[Symbol.asyncDispose](),
    ]);
    await Promise.all([
      this.sourceNode[Symbol.asyncDispose](),
      this.destinationNode[Symbol.asyncDispose](),
    ]);
  }
}
