import { NodeAccelerator } from '../../src/agent/node/node-accelerator.ts';
import { createLogger } from '../../src/core/logger.ts';
import type { BootFinding, BootProbe } from '../../src/drivers/boot-probe.ts';

/** Finds what it is told to, once it is told. */
export class FakeBootProbe implements BootProbe {
  tries = 0;
  readonly #findings: Promise<BootFinding>[];

  constructor(...findings: readonly (BootFinding | Promise<BootFinding>)[]) {
    this.#findings = findings.map((finding) => Promise.resolve(finding));
  }

  async find(signal: AbortSignal): Promise<BootFinding> {
    signal.throwIfAborted();
    const finding = this.#findings[Math.min(this.tries, this.#findings.length - 1)];
    this.tries += 1;
    return (await finding) ?? { boots: true, why: '' };
  }
}

/** Of a node that is configured for it. */
export const TCG = new NodeAccelerator({
  wanted: 'tcg',
  probe: new FakeBootProbe(),
  log: createLogger('silent'),
});
