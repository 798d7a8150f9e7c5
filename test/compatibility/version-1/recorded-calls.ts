import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type ChannelCredentials, Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { type Message, RecordedApi } from './recorded-api.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

/** A call that the agent has refused. */
export class RecordedRefusal extends Error {
  override readonly name = 'RecordedRefusal';
  readonly reason: string;

  constructor(reason: string, cause: ServiceError) {
    super(cause.details, { cause });
    this.reason = reason;
  }
}

/** Calls to an agent in the words of version 1. */
export class RecordedCalls implements Disposable {
  readonly #api: RecordedApi;
  readonly #client: Client;

  private constructor(
    api: RecordedApi,
    address: string,
    channel: ChannelCredentials,
    name: string,
  ) {
    this.#api = api;
    this.#client = new Client(address, channel, {
      'grpc.ssl_target_name_override': name,
      'grpc.enable_http_proxy': 0,
    });
  }

  /** As root of the agent's node. */
  static local(socket: string): RecordedCalls {
    const channel = credentials.createInsecure();
    return new RecordedCalls(new RecordedApi(), `unix:${socket}`, channel, 'local');
  }

  /** As whoever the certificate names, to the agent of a node. */
  static remote(
    address: string,
    nodeName: string,
    { certificate, key, ca }: TlsFiles,
    api = new RecordedApi(),
  ): RecordedCalls {
    const context = createSecureContext({
      cert: readFileSync(certificate),
      key: readFileSync(key),
      ca: readFileSync(ca),
      minVersion: 'TLSv1.3',
    });
    const channel = credentials.createFromSecureContext(context, {
      checkServerIdentity: (_host, { subjectaltname = '' }) =>
        subjectaltname.split(', ').includes(`URI:spiffe://novacron/node/${nodeName}`)
          ? undefined
          : new Error(`This is not node ${nodeName}: ${subjectaltname}`),
    });
    return new RecordedCalls(api, address, channel, nodeName);
  }

  /** Calls a method such as `NodeService/GetNode`. Fails with a RecordedRefusal. */
  call(method: string, request: Message = {}): Promise<Message> {
    const { path, requestSerialize, responseDeserialize } = this.#api.method(method);
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      (error, answer = {}) => (error === null ? resolve(answer) : reject(this.#refused(error))),
    );
    return promise;
  }

  /** What a method streams, until the caller has enough. */
  async *stream(method: string, request: Message = {}): AsyncGenerator<Message> {
    const { path, requestSerialize, responseDeserialize } = this.#api.method(method);
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
    );
    // A stream that is cancelled says so, also when nobody reads it any more.
    stream.on('error', () => undefined);
    try {
      yield* stream;
    } finally {
      stream.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #refused(error: ServiceError): RecordedRefusal {
    return new RecordedRefusal(this.#api.reasonOf(error), error);
  }
}
