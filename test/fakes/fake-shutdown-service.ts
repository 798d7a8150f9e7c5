import type {
  NodeShutdown,
  ShutdownRequest,
  ShutdownService,
} from '../../src/agent/shutdown/node-shutdown.ts';

/** A node whose one VM is waited for; remembers what it was asked. */
export class FakeShutdownService implements ShutdownService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];

  async shutDown(request: ShutdownRequest): Promise<NodeShutdown> {
    this.calls.push({ method: 'shutDown', argument: request });
    const { requestedBy, timeoutMs = 120_000 } = request;
    const startedAtMs = Date.now();
    const vm = { namespace: 'default', name: 'web', uid: '0b9d3c4e-1111-4222-8333-444455556666' };
    return {
      requestedBy,
      startedAtMs,
      deadlineMs: startedAtMs + timeoutMs,
      isDone: false,
      guests: [{ vm, state: 'waiting-for-guest', message: '' }],
    };
  }

  async abort(): Promise<void> {
    this.calls.push({ method: 'abort', argument: undefined });
  }
}
