import { Connection } from './connection.ts';
import { ConsoleCalls } from './console-calls.ts';
import { EventCalls } from './event-calls.ts';
import { GuestCalls } from './guest-calls.ts';
import { ImageCalls } from './image-calls.ts';
import { MigrationCalls } from './migration-calls.ts';
import { NodeCalls } from './node-calls.ts';
import { OperationCalls } from './operation-calls.ts';
import { PeerCalls } from './peer-calls.ts';
import type { AgentTarget } from './target.ts';
import { VmCalls } from './vm-calls.ts';

/** One agent's API. Safe for many calls at once; dispose of it to close the connection. */
export class AgentClient implements Disposable {
  readonly address: string;
  readonly node: NodeCalls;
  readonly vms: VmCalls;
  readonly consoles: ConsoleCalls;
  readonly guests: GuestCalls;
  readonly images: ImageCalls;
  readonly migrations: MigrationCalls;
  readonly operations: OperationCalls;
  readonly events: EventCalls;
  readonly peer: PeerCalls;
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
    this.address = connection.address;
    this.node = new NodeCalls(connection);
    this.vms = new VmCalls(connection);
    this.consoles = new ConsoleCalls(connection);
    this.guests = new GuestCalls(connection);
    this.images = new ImageCalls(connection);
    this.migrations = new MigrationCalls(connection);
    this.operations = new OperationCalls(connection);
    this.events = new EventCalls(connection);
    this.peer = new PeerCalls(connection);
  }

  /** Reads the certificates; the first call connects. Fails with INVALID_CONFIG if they cannot be used. */
  static async open(target: AgentTarget): Promise<AgentClient> {
    return new AgentClient(await Connection.open(target));
  }

  /** Calls still running fail. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
