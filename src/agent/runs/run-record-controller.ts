import type { Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { RunBook } from './run-book.ts';

/** Has the journal know how VMs have run: one write whenever one comes on or goes off, is deleted or has left. */
export class RunRecordController implements Controller {
  readonly name = 'run-records';
  readonly inputs: readonly Input[] = ['domains'];
  readonly outputs: readonly Output[] = ['run-records'];
  readonly #book: RunBook;

  constructor(book: RunBook) {
    this.#book = book;
  }

  concern({ uid }: SeenVm): string | undefined {
    return this.#book.isUnwritten(uid) ? 'unwritten' : undefined;
  }

  /** Those that have gone while no agent ran. */
  async findOthers(): Promise<readonly string[]> {
    return this.#book.listUnwritten();
  }

  async reconcile(vmUid: string): Promise<undefined> {
    if (this.#book.isUnwritten(vmUid)) await this.#book.write(vmUid);
  }
}
