import { createHash } from 'node:crypto';
import type { Logger } from '../../core/logger.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { OperationParameters, OperationRecord } from './operation.ts';
import type { SecretParameter } from './operation-work.ts';

export interface OperationSecretsOptions {
  readonly privateFiles: Pick<PrivateFiles, 'put' | 'find' | 'remove'>;
  /** Ids of operations that go on from before. */
  readonly openIds: readonly string[];
  readonly log: Logger;
}

const FILE = 'secret';
const DROP_TIMEOUT_MS = 15_000;

/**
 * The secrets of operations that go on: the journal has only their digests, so each is in a private file of its operation,
 * on the disk before the operation is recorded and until it has ended.
 */
export class OperationSecrets {
  readonly #options: OperationSecretsOptions;
  /** The folders of operations that go on, or are about to begin. */
  readonly #inUse: Set<string>;
  /** What is being done to folders that were found unused: an operation that begins waits for it. */
  readonly #sweeps = new Map<string, Promise<void>>();

  constructor(options: OperationSecretsOptions) {
    this.#options = options;
    this.#inUse = new Set(options.openIds.map(folderOf));
  }

  /** Keeps the secret of an operation that is about to begin, if it has one. */
  async keep(
    id: string,
    secret: SecretParameter | undefined,
    parameters: OperationParameters,
    signal: AbortSignal,
  ): Promise<void> {
    const content = secret?.contentOf(parameters);
    if (content === undefined) return;
    const folder = folderOf(id);
    this.#inUse.add(folder);
    try {
      await this.#sweeps.get(folder)?.catch(() => undefined);
      await this.#options.privateFiles.put(folder, FILE, content, signal);
    } catch (error) {
      this.#inUse.delete(folder);
      throw error;
    }
  }

  /** The parameters of an operation with its secret, as far as that is here. Fails with JOURNAL_FAILURE if it cannot be read. */
  async restore(
    { id, parameters }: Pick<OperationRecord, 'id' | 'parameters'>,
    secret: SecretParameter | undefined,
    signal: AbortSignal,
  ): Promise<OperationParameters> {
    const digest = secret?.digestOf(parameters);
    if (secret === undefined || digest === undefined) return parameters;
    const content = await this.#options.privateFiles.find(folderOf(id), FILE, digest, signal);
    // The digest may have been all that was given.
    return content === undefined ? parameters : secret.withContent(parameters, content);
  }

  /** An operation has ended, or has not begun. What cannot be removed the next agent removes. */
  async drop(
    { id, parameters }: Pick<OperationRecord, 'id' | 'parameters'>,
    secret: SecretParameter | undefined,
  ): Promise<void> {
    const { privateFiles, log } = this.#options;
    if (secret?.digestOf(parameters) === undefined) return;
    const folder = folderOf(id);
    try {
      await privateFiles.remove(folder, AbortSignal.timeout(DROP_TIMEOUT_MS));
    } catch (error) {
      log.warn({ operationId: id, err: error }, 'Cannot remove the secret of an operation');
    } finally {
      this.#inUse.delete(folder);
    }
  }

  /** Does something to a folder of private files, unless it is that of an operation that goes on. */
  async unlessInUse(folder: string, act: () => Promise<void>): Promise<void> {
    if (this.#inUse.has(folder)) return;
    const sweep = act();
    this.#sweeps.set(folder, sweep);
    try {
      await sweep;
    } finally {
      this.#sweeps.delete(folder);
    }
  }
}

/** Not the id itself, which a caller may have given to a VM as well. */
function folderOf(id: string): string {
  const hex = createHash('sha256').update(`operation ${id}`).digest('hex');
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
