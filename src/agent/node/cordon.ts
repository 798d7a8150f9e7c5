import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { Turns } from '../../core/turns.ts';
import type { NodeSpec } from './node.ts';
import type { NodeSpecRecord, NodeSpecStore } from './node-spec-store.ts';

const OPEN: NodeSpecRecord = { spec: { cordon: false, cordonReason: '' }, generation: 1 };

/** Whether the node takes new VMs. Asked from memory; a change is on the disk before it is answered. */
export class Cordon {
  readonly #store: NodeSpecStore;
  #record: NodeSpecRecord;
  /** Between reading a generation and having written the next one, nobody else may change it. */
  readonly #turns = new Turns();

  private constructor(store: NodeSpecStore, record: NodeSpecRecord) {
    this.#store = store;
    this.#record = record;
  }

  static async load(store: NodeSpecStore): Promise<Cordon> {
    return new Cordon(store, (await store.find()) ?? OPEN);
  }

  get spec(): NodeSpec {
    return this.#record.spec;
  }

  get generation(): number {
    return this.#record.generation;
  }

  /** Fails with NODE_CORDONED. `what` says what is not let in: `VM web`. */
  assertNotCordoned(what: string): void {
    const { cordon, cordonReason } = this.spec;
    if (!cordon) return;
    const why = cordonReason === '' ? '' : ` (${cordonReason})`;
    throw new AgentError(
      'NODE_CORDONED',
      `Cannot take ${what}: this node is cordoned${why}; choose another node, or uncordon this one`,
    );
  }

  /** Fails with GENERATION_MISMATCH; undefined means any. */
  assertGeneration(generation: number | undefined): void {
    const now = this.generation;
    if (generation === undefined || generation === now) return;
    throw new AgentError(
      'GENERATION_MISMATCH',
      `Cannot change the node: it has generation ${now}, not ${generation}; read it again and repeat the change`,
    );
  }

  /** Whether these fields are so already. */
  has(change: Partial<NodeSpec>): boolean {
    return isDeepStrictEqual({ ...this.spec, ...change }, this.spec);
  }

  /** Changes some fields. What is so already raises no generation. Fails with GENERATION_MISMATCH. */
  update(change: Partial<NodeSpec>, generation: number | undefined): Promise<void> {
    return this.#turns.take('node', async () => {
      this.assertGeneration(generation);
      if (this.has(change)) return;
      const spec = { ...this.spec, ...change };
      const record = { spec, generation: this.generation + 1 };
      await this.#store.put(record);
      this.#record = record;
    });
  }
}
