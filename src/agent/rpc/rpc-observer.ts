import type { Role } from './identity.ts';

/** Told of every call to a method that exists, refused ones included; for metrics. Must not throw. */
export interface RpcObserver {
  callStarted(method: string): void;
  /** `code` is the gRPC status code, such as 0 for OK. `role` is `none` for callers without an identity. */
  callEnded(call: {
    readonly method: string;
    readonly role: Role | 'none';
    readonly code: number;
    readonly durationMs: number;
  }): void;
}
