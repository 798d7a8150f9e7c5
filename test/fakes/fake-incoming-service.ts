import type {
  HandshakeRequest,
  IncomingBlocker,
  IncomingEnd,
  IncomingReport,
  IncomingService,
  IncomingVm,
  MigrationProgress,
  PeerHandshake,
} from '../../src/agent/migration/migration.ts';
import type { ImageSighting, MarkedPlace } from '../../src/drivers/disk-probe.ts';

/** A destination that takes everything, and remembers what it was asked and by which node. */
export class FakeIncomingService implements IncomingService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  readonly callers: string[] = [];
  /** Thrown by every call. */
  failure: Error | undefined;
  blockers: IncomingBlocker[] = [];
  sightings: ImageSighting[] = [];
  report: IncomingReport = {
    state: 'prepared',
    ownershipEpoch: 4,
    holdsSource: false,
    figures: { downtimeMs: 12, memoryProcessedBytes: 34n, iterations: 5, elapsedMs: 900 },
  };

  async handshake(request: HandshakeRequest): Promise<PeerHandshake> {
    this.#asked('handshake', request, '');
    return {
      protocol: 1,
      agentVersion: '0.1.0',
      nodeName: 'node-b',
      hostUuid: 'b-uuid',
      features: ['private-files'],
    };
  }

  async check(incoming: IncomingVm, caller: string): Promise<readonly IncomingBlocker[]> {
    this.#asked('check', incoming, caller);
    return this.blockers;
  }

  async compareImages(images: readonly MarkedPlace[]): Promise<readonly ImageSighting[]> {
    this.#asked('compareImages', images, '');
    return this.sightings;
  }

  async prepare(
    request: { readonly migrationId: string },
    caller: string,
  ): Promise<{ readonly host: string; readonly port: number }> {
    this.#asked('prepare', request, caller);
    return { host: '10.0.0.2', port: 49_152 };
  }

  async get(migrationId: string, vmUid: string, caller: string): Promise<IncomingReport> {
    this.#asked('get', { migrationId, vmUid }, caller);
    return this.report;
  }

  async reportProgress(
    migrationId: string,
    progress: MigrationProgress,
    caller: string,
  ): Promise<void> {
    this.#asked('reportProgress', { migrationId, progress }, caller);
  }

  async release(
    migrationId: string,
    vmUid: string,
    end: IncomingEnd,
    caller: string,
  ): Promise<{ readonly wireBytes: number }> {
    this.#asked('release', { migrationId, vmUid, ...end }, caller);
    return { wireBytes: 123 };
  }

  #asked(method: string, argument: unknown, caller: string): void {
    this.calls.push({ method, argument });
    this.callers.push(caller);
    if (this.failure !== undefined) throw this.failure;
  }
}
