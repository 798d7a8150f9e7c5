import { createHash } from 'node:crypto';
import { AgentError } from '../../src/core/errors.ts';
import type { PrivateFiles } from '../../src/drivers/private-files.ts';

/** Private files of VMs that are kept in memory. */
export class FakePrivateFiles implements PrivateFiles {
  /** Set to have everything that writes fail. */
  failure: AgentError | undefined;
  readonly #files = new Map<string, Map<string, Uint8Array>>();

  async put(
    vmUid: string,
    name: string,
    content: Uint8Array,
    signal: AbortSignal,
  ): Promise<string> {
    signal.throwIfAborted();
    this.#assertWritable();
    const digest = digestOf(content);
    const key = keyOf(vmUid, name, digest);
    const files = this.#files.get(vmUid) ?? new Map<string, Uint8Array>();
    this.#files.set(vmUid, files.set(key, Buffer.from(content)));
    return Promise.resolve(digest);
  }

  async find(
    vmUid: string,
    name: string,
    digest: string,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    const key = keyOf(vmUid, name, digest);
    const content = this.#files.get(vmUid)?.get(key);
    if (content === undefined || digestOf(content) === digest) return Promise.resolve(content);
    throw new AgentError('JOURNAL_FAILURE', `Cannot read ${name} of VM ${vmUid}: it is damaged`);
  }

  async read(
    vmUid: string,
    name: string,
    digest: string,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const content = await this.find(vmUid, name, digest, signal);
    if (content !== undefined) return content;
    throw new AgentError('JOURNAL_FAILURE', `Cannot read ${name} of VM ${vmUid}`);
  }

  async keepOnly(
    vmUid: string,
    files: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    this.#assertWritable();
    const kept = Object.entries(files).map(([name, digest]) => keyOf(vmUid, name, digest));
    const present = this.#files.get(vmUid);
    for (const key of present?.keys() ?? []) if (!kept.includes(key)) present?.delete(key);
    return Promise.resolve();
  }

  async remove(vmUid: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#assertWritable();
    keyOf(vmUid, 'any', digestOf(Buffer.alloc(0)));
    this.#files.delete(vmUid);
    return Promise.resolve();
  }

  async listVms(signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    return Promise.resolve([...this.#files.keys()]);
  }

  /** Changes what a file holds behind the agent's back. */
  damage(vmUid: string, name: string, digest: string): void {
    this.#files.get(vmUid)?.set(keyOf(vmUid, name, digest), Buffer.from('damaged'));
  }

  #assertWritable(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

function keyOf(vmUid: string, name: string, digest: string): string {
  const plain = /^[0-9a-f-]{36}$/.test(vmUid) && /^[a-z0-9-]+$/.test(name);
  if (!plain || !/^[0-9a-f]{64}$/.test(digest)) {
    throw new AgentError('INVALID_REQUEST', `There is no private file ${vmUid}/${name}-${digest}`);
  }
  return `${name}-${digest}`;
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
