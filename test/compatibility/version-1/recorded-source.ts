import type { Message } from './recorded-api.ts';
import type { RecordedCalls } from './recorded-calls.ts';

const HOST_UUID = '0d6d9b5e-4a0b-4c53-8f8c-0a2f3a1b5c01';
const QEMU_VERSION = '7.2.0';
const TRANSFER_TOKEN = 'ab'.repeat(32);

/** The VM that the recorded source wants to get rid of. */
export const LEAVING_UID = '6f1a3c52-8f0e-4c47-9d5e-0d7c51b1a001';

const MANIFEST = {
  apiVersion: 'novacron.io/v1alpha1',
  kind: 'VirtualMachine',
  metadata: {
    name: 'leaving',
    namespace: 'default',
    uid: LEAVING_UID,
    generation: 1,
    creationTimestamp: '2025-10-09T08:53:20.000Z',
  },
  spec: {
    runStrategy: 'Once',
    template: {
      spec: { resources: { cpu: '1', memory: '64Mi' }, kernel: { path: '/boot/vmlinuz' } },
    },
  },
};

/** The agent that a VM leaves, as version 1 was: asks another agent what a migration takes. */
export class RecordedSource {
  readonly #calls: RecordedCalls;
  readonly #migrationId: string;
  readonly #more: Message;

  /** `more` is added to all that is sent. */
  constructor(calls: RecordedCalls, migrationId: string, more: Message = {}) {
    this.#calls = calls;
    this.#migrationId = migrationId;
    this.#more = more;
  }

  handshake(requiredFeatures: readonly string[] = []): Promise<Message> {
    const request = { protocolMin: 1, protocolMax: 1, agentVersion: '0.1.0', requiredFeatures };
    return this.#call('Handshake', request);
  }

  check(requiredFeatures: readonly string[] = []): Promise<Message> {
    return this.#call('CheckIncoming', { ...this.#offer(), requiredFeatures });
  }

  prepare(requiredFeatures: readonly string[] = []): Promise<Message> {
    const { migrationId, transferToken } = { ...this.#ids(), transferToken: TRANSFER_TOKEN };
    const request = { ...this.#offer(), migrationId, transferToken, requiredFeatures };
    return this.#call('PrepareIncoming', request);
  }

  get(): Promise<Message> {
    return this.#call('GetIncoming', this.#ids());
  }

  release(outcome: 'INCOMING_OUTCOME_COMMIT' | 'INCOMING_OUTCOME_ABORT'): Promise<Message> {
    return this.#call('ReleaseIncoming', { ...this.#ids(), outcome });
  }

  #call(method: string, request: Message): Promise<Message> {
    return this.#calls.call(`PeerService/${method}`, { ...request, ...this.#more });
  }

  #ids() {
    return { migrationId: this.#migrationId, virtualMachineUid: LEAVING_UID };
  }

  #offer() {
    return {
      incoming: {
        uid: LEAVING_UID,
        namespace: 'default',
        name: 'leaving',
        definition: Buffer.from(JSON.stringify(MANIFEST)),
        ownershipEpoch: 1,
        machineType: 'pc-q35-7.2',
        accelerator: 'tcg',
        memoryBytes: 64 * 1024 ** 2,
        vcpus: 1,
        ...this.#more,
      },
      sourceHostUuid: HOST_UUID,
      sourceQemuVersion: QEMU_VERSION,
    };
  }
}
