import assert from 'node:assert/strict';
import type { GuestMachine } from '../../lab/guest/distribution/guest-machine.ts';
import type { ShellBlock } from './install-page.ts';

/** An emulated CPU unpacks a hundred packages. */
const TIMEOUT_MS = 580_000;
const VM = 'first';

/** Somebody who does on a machine what docs/install.md says, and looks what has come of it. */
export class Novice {
  readonly #machine: GuestMachine;

  constructor(machine: GuestMachine) {
    this.#machine = machine;
  }

  /**
   * Types what blocks say in a folder that has packages, with this version where they name one; gives what was printed. Where the
   * doctor still finds something, as a node that is emulated takes long to settle, that is for later.
   */
  async type(
    blocks: readonly ShellBlock[],
    { folder, version = '' }: { readonly folder: string; readonly version?: string },
    signal: AbortSignal,
  ): Promise<string> {
    const lines = blocks.map(({ script }) =>
      script
        .replaceAll(/^novactl doctor$/gm, 'novactl doctor || echo later')
        .replaceAll(/^version=.*$/gm, `version=${version}`),
    );
    const script = `cd /root/${folder}; set -e\n${lines.join('')}`;
    return await this.#machine.run(script, signal, { timeoutMs: TIMEOUT_MS });
  }

  async expectHealthyNode(signal: AbortSignal): Promise<void> {
    await this.#waitFor('novactl node get', '^[a-z]* *Ready', signal);
    assert.doesNotMatch(await this.#machine.run('novactl doctor', signal), /^FAIL/m);
  }

  async expectRunningVm(signal: AbortSignal): Promise<void> {
    await this.#waitFor('novactl vm list', `^default *${VM} *Running`, signal);
  }

  /** The process of the VM, which must be running. */
  async findQemu(signal: AbortSignal): Promise<number> {
    const find = `pid=$(cat /run/libvirt/qemu/default_${VM}.pid); kill -0 $pid; echo $pid`;
    return Number(await this.#machine.run(`set -e; ${find}`, signal));
  }

  async #waitFor(command: string, pattern: string, signal: AbortSignal): Promise<void> {
    const script = `until ${command} | grep '${pattern}'; do sleep 1; done`;
    const { code } = await this.#machine.tryRun(script, signal, { timeoutMs: TIMEOUT_MS });
    if (code === 0) return;
    const said = await this.#machine.run(`${command}; journalctl -u novacron-agent | tail`, signal);
    assert.fail(`${command} does not show ${pattern}, but\n${said}`);
  }
}
