import { readFileSync } from 'node:fs';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import type { Credentials } from '../../lab/node/certificates.ts';

/** Where an agent listens, and who asks. */
export interface Target {
  readonly address: string;
  readonly nodeName: string;
  readonly files: Credentials;
}

/** A method, and its request as it travels. */
export interface RawCall {
  readonly path: string;
  readonly request: Buffer;
}

/** So many connections of their own, as so many programs would have. */
export function openClients({ address, nodeName, files }: Target, count: number): Client[] {
  const [ca, key, certificate] = [files.ca, files.key, files.certificate].map((file) =>
    readFileSync(file),
  );
  const channel = credentials.createSsl(ca ?? null, key ?? null, certificate ?? null);
  const options = {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.ssl_target_name_override': nodeName,
    'grpc.max_receive_message_length': -1,
  };
  return Array.from({ length: count }, () => new Client(address, channel, options));
}

/** Makes a call and leaves its answer unread, as to read it costs more than to give it. Gives the code of the status. */
export function callRaw(client: Client, { path, request }: RawCall): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const deadline = Date.now() + 30_000;
  const done = (error: ServiceError | null): void => resolve(error?.code ?? 0);
  client.makeUnaryRequest(path, asIs, asIs, request, { deadline }, done);
  return promise;
}

/** Opens a watch and tells of its messages until it is cancelled. */
export function watchRaw(client: Client, { path, request }: RawCall, onMessage: () => void) {
  const stream = client.makeServerStreamRequest(path, asIs, asIs, request);
  stream.on('data', onMessage);
  stream.on('error', () => undefined);
  return stream;
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
