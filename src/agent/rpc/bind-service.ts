import type { Server, UntypedHandleCall } from '@grpc/grpc-js';
import type { Calls } from './calls.ts';
import {
  type DuplexHandler,
  duplexStream,
  type StreamHandler,
  serverStream,
  type WhenBehind,
} from './streaming.ts';
import { type UnaryHandler, unary } from './unary.ts';

/** A generated service: its methods by name, each with types of its own (hence `any`). */
type Service = Readonly<Record<string, Method>>;

interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => any;
  readonly responseSerialize: (response: any) => Buffer;
  readonly requestSerialize: (request: any) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => any;
}

/** One handler for each method of a service, with the method's own request and response. */
export type ServiceHandlers<S extends Service> = {
  readonly [Name in keyof S]: S[Name]['responseStream'] extends true
    ? S[Name]['requestStream'] extends true
      ? DuplexHandler<RequestOf<S[Name]>, ResponseOf<S[Name]>>
      : StreamHandler<RequestOf<S[Name]>, ResponseOf<S[Name]>>
    : UnaryHandler<RequestOf<S[Name]>, ResponseOf<S[Name]>>;
};

type RequestOf<M extends Method> = ReturnType<M['requestDeserialize']>;
type ResponseOf<M extends Method> = Parameters<M['responseSerialize']>[0];

/**
 * Adds a service. Its streams expire watchers that fall behind, but for those in `waiting`, which wait, as those that go both ways
 * do.
 */
export function bindService<S extends Service>(
  server: Pick<Server, 'addService'>,
  service: S,
  handlers: ServiceHandlers<S>,
  calls: Calls,
  waiting: readonly (keyof S)[] = [],
): void {
  const names = Object.keys(service) as (keyof S & string)[];
  const whenBehind = (name: keyof S): WhenBehind => (waiting.includes(name) ? 'wait' : 'expire');
  const implementation = names.map((name): [string, UntypedHandleCall] => {
    const method = service[name] as Method;
    const handler: unknown = handlers[name];
    if (!method.responseStream) {
      return [name, unary(method, handler as UnaryHandler<unknown, unknown>, calls)];
    }
    if (method.requestStream) {
      return [name, duplexStream(method, handler as DuplexHandler<unknown, unknown>, calls)];
    }
    const stream = handler as StreamHandler<unknown, unknown>;
    return [name, serverStream(method, stream, calls, whenBehind(name))];
  });
  // The adapters decode and encode themselves.
  const definition = names.map((name): [string, Method] => [
    name,
    {
      ...(service[name] as Method),
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
    },
  ]);
  server.addService(Object.fromEntries(definition), Object.fromEntries(implementation));
}
