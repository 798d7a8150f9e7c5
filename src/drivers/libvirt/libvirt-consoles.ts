import type { Duplex } from 'node:stream';
import { AgentError } from '../../core/errors.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { HypervisorConsoles, OpenSerialOptions, Picture } from '../hypervisor-consoles.ts';
import type { DriverCalls } from './driver-calls.ts';
import { readPicture } from './picture.ts';

/** That of a screen of 5120 by 2880 points. */
const MAX_PICTURE_BYTES = 64 * 1024 * 1024;

/** Consoles by libvirt: their bytes go past it where they can, and past the driver's JavaScript always. */
export class LibvirtConsoles implements HypervisorConsoles {
  readonly #calls: DriverCalls;

  constructor(calls: DriverCalls) {
    this.#calls = calls;
  }

  openSerial(uid: string, { takeOver }: OpenSerialOptions, signal: AbortSignal): Promise<Duplex> {
    const verb = 'open the serial console of';
    return this.#open(this.#calls.callFresh('openConsole', uid, [uid, takeOver], verb, signal));
  }

  openDisplay(uid: string, signal: AbortSignal): Promise<Duplex> {
    const verb = 'open the display of';
    return this.#open(this.#calls.callFresh('openDisplay', uid, [uid], verb, signal));
  }

  async takeScreenshot(uid: string, signal: AbortSignal): Promise<Picture> {
    const verb = 'take a screenshot of';
    const { callTimeoutMs } = this.#calls;
    const opened = this.#calls.callFresh('takeScreenshot', uid, [uid], verb, signal);
    const picture = await this.#open(opened);
    try {
      const data = await untilAborted(
        readAll(picture),
        AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)]),
      );
      const read = await readPicture(data);
      if (read !== undefined) return read;
    } catch (error) {
      signal.throwIfAborted();
      throw this.#noPicture(uid, error);
    } finally {
      picture.destroy();
    }
    throw this.#noPicture(uid, undefined);
  }

  async sendKeys(uid: string, codes: readonly number[], signal: AbortSignal): Promise<void> {
    await this.#calls.call('sendKeys', uid, [uid, codes], 'send keys to', signal);
  }

  async #open(call: Promise<unknown>): Promise<Duplex> {
    const socket = (await call) as Duplex;
    // What goes wrong with it ends it, and its user sees that.
    socket.on('error', () => socket.destroy());
    return socket;
  }

  #noPicture(uid: string, cause: unknown): AgentError {
    return new AgentError(
      'HYPERVISOR_FAILURE',
      `Cannot take a screenshot of ${this.#calls.nameOf(uid)}: QEMU did not send the whole picture; try again`,
      { metadata: { vmId: uid }, cause },
    );
  }
}

async function readAll(stream: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > MAX_PICTURE_BYTES) throw new Error(`It has more than ${MAX_PICTURE_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
