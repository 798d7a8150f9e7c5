import { readFileSync } from 'node:fs';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { type Message, RecordedApi } from './recorded-api.ts';
import type { TlsFiles } from './recorded-calls.ts';

const FEATURES = ['private-files'];
const HOST_UUID = '5a1e0a3c-33a1-4e2c-8f6c-7d4a3b2c1d0e';

type Handler = (request: Message) => Message;

class Refused extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The agent that a VM comes to, as version 1 was: has room for everything, and keeps what it was told. */
export class RecordedDestination implements AsyncDisposable {
  readonly port: number;
  /** What it was asked, by method. */
  readonly requests: Readonly<Record<string, Message[]>>;
  readonly #server: Server;
  readonly #incoming: Incoming;

  private constructor(server: Server, port: number, incoming: Incoming) {
    this.#server = server;
    this.port = port;
    this.#incoming = incoming;
    this.requests = incoming.requests;
  }

  /** `more` is added to every answer. */
  static async start(
    nodeName: string,
    { certificate, key, ca }: TlsFiles,
    { api = new RecordedApi(), more = {} as Message } = {},
  ): Promise<RecordedDestination> {
    const server = new Server();
    const incoming = new Incoming(nodeName);
    const answer = (handler: Handler): UntypedHandleCall =>
      ((call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => {
        try {
          done(null, { ...handler(call.request), ...more });
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          done(api.refusal(status.FAILED_PRECONDITION, error.reason, error.message));
        }
      }) as UntypedHandleCall;
    server.addService(api.service('PeerService'), {
      Handshake: answer((request) => incoming.handshake(request)),
      CheckIncoming: answer((request) => incoming.check(request)),
      PrepareIncoming: answer((request) => incoming.prepare(request)),
      GetIncoming: answer((request) => incoming.get(request)),
      ReleaseIncoming: answer((request) => incoming.release(request)),
    });
    const pair = { cert_chain: readFileSync(certificate), private_key: readFileSync(key) };
    const channel = ServerCredentials.createSsl(readFileSync(ca), [pair], true);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync('127.0.0.1:0', channel, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
    return new RecordedDestination(server, await promise, incoming);
  }

  /** The VM has come: from now on it is owned here. */
  arrive(ownershipEpoch: number): void {
    this.#incoming.report = {
      state: 'INCOMING_STATE_ARRIVED',
      ownershipEpoch,
      downtime: { seconds: 0, nanos: 12_000_000 },
      memoryProcessedBytes: 34,
      iterations: 5,
      holdsSource: false,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** What is known of the VM that comes. */
class Incoming {
  readonly requests = {
    handshake: [] as Message[],
    check: [] as Message[],
    prepare: [] as Message[],
    get: [] as Message[],
    release: [] as Message[],
  };
  report: Message = { state: 'INCOMING_STATE_ABSENT' };
  readonly #nodeName: string;

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  handshake(request: Message): Message {
    this.requests.handshake.push(request);
    if (request['protocolMin'] > 1) throw new Refused('PEER_INCOMPATIBLE', 'Speaks version 1 only');
    assertFeatures(request);
    return {
      protocol: 1,
      agentVersion: '0.1.0',
      nodeName: this.#nodeName,
      hostUuid: HOST_UUID,
      features: FEATURES,
    };
  }

  check(request: Message): Message {
    this.requests.check.push(request);
    assertFeatures(request);
    return { blockers: [] };
  }

  prepare(request: Message): Message {
    this.requests.prepare.push(request);
    assertFeatures(request);
    this.report = { state: 'INCOMING_STATE_PREPARED' };
    return { transferHost: '127.0.0.1', transferPort: 49_152 };
  }

  get(request: Message): Message {
    this.requests.get.push(request);
    return this.report;
  }

  release(request: Message): Message {
    this.requests.release.push(request);
    if (request['outcome'] === 'INCOMING_OUTCOME_ABORT') {
      this.report = { state: 'INCOMING_STATE_ABSENT' };
    }
    return { wireBytes: 123 };
  }
}

function assertFeatures({ requiredFeatures }: Message): void {
  const unknown = requiredFeatures.filter((feature: string) => !FEATURES.includes(feature));
  if (unknown.length > 0) throw new Refused('PEER_INCOMPATIBLE', `Does not know ${unknown}`);
}
