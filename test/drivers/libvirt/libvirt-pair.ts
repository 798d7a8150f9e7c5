import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { hasReason } from '../../../src/core/errors.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { Hypervisor } from '../../../src/drivers/hypervisor.ts';
import type { HypervisorMigration } from '../../../src/drivers/hypervisor-jobs.ts';
import {
  LibvirtHypervisor,
  type LibvirtHypervisorOptions,
} from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { PrivateLibvirt, waitFor } from './private-libvirt.ts';

const MIB = 1024 * 1024;

/** For tests that are not about deadlines. */
export const UNHURRIED = { callTimeoutMs: 60_000 };

/** A driver that is connected to a private libvirtd. */
export async function openHypervisor(
  node: PrivateLibvirt,
  options: Partial<LibvirtHypervisorOptions> = {},
): Promise<LibvirtHypervisor> {
  await using undo = new AsyncDisposableStack();
  const hypervisor = undo.use(
    new LibvirtHypervisor({
      uri: node.uri,
      nodeDefaults: () => ({
        accelerator: 'tcg',
        defaultMachineType: 'q35',
        defaultCpuModel: 'qemu64',
        consoleDirectory: node.consoleDirectory,
      }),
      root: node.folder,
      ...options,
    }),
  );
  // Calls wait for a connection that is being made, but not for as long as that takes on a busy machine.
  await waitFor('the driver is connected', () => answers(hypervisor));
  undo.move();
  return hypervisor;
}

/** Whether libvirt can be asked now. */
export async function answers(hypervisor: Hypervisor): Promise<boolean> {
  try {
    await hypervisor.domains.list(new AbortController().signal);
    return true;
  } catch (error) {
    if (hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT')) return false;
    throw error;
  }
}

interface Side {
  readonly node: PrivateLibvirt;
  readonly hypervisor: LibvirtHypervisor;
}

/** Two private libvirtd that see each other's sockets, and their drivers. */
export class LibvirtPair implements AsyncDisposable {
  readonly sourceNode: PrivateLibvirt;
  readonly destinationNode: PrivateLibvirt;
  readonly source: LibvirtHypervisor;
  readonly destination: LibvirtHypervisor;
  readonly #owned: AsyncDisposableStack;

  private constructor(source: Side, destination: Side, owned: AsyncDisposableStack) {
    this.sourceNode = source.node;
    this.destinationNode = destination.node;
    this.source = source.hypervisor;
    this.destination = destination.hypervisor;
    this.#owned = owned;
  }

  static async start(): Promise<LibvirtPair> {
    await using undo = new AsyncDisposableStack();
    const starting = [0, 1].map(async () => {
      const node = undo.use(await PrivateLibvirt.start());
      return { node, hypervisor: undo.use(await openHypervisor(node, UNHURRIED)) };
    });
    // Both, so that none is left behind when the other fails.
    await Promise.allSettled(starting);
    const [source, destination] = await Promise.all(starting);
    assert.ok(source !== undefined && destination !== undefined);
    return new LibvirtPair(source, destination, undo.move());
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
      disks: [],
      maxDowntimeMs: undefined,
      bandwidthBytesPerSecond: speed === 'slow' ? MIB : undefined,
      destinationFacts: { ownershipEpoch: definition.ownershipEpoch + 1, owner: randomUUID() },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}
