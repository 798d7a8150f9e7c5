import { AgentError } from '../../src/core/errors.ts';
import type { NodeSecrets } from '../../src/drivers/node-secrets.ts';

/** Secrets in memory. */
export class FakeNodeSecrets implements NodeSecrets {
  readonly #contents = new Map<string, string>();

  put(name: string, content: string): void {
    this.#contents.set(name, content);
  }

  remove(name: string): void {
    this.#contents.delete(name);
  }

  async read(name: string, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const content = this.#contents.get(name);
    if (content !== undefined) return Buffer.from(content);
    throw new AgentError('SECRET_NOT_FOUND', `Cannot read the secret: ${name} is not there`);
  }
}
