import type { Keyboard } from './cli-io.ts';
import { Interrupted } from './exit-codes.ts';

/**
 * Standard input of the process, a terminal without lines, echo and signals; as it was before once it is disposed of, and however
 * the process ends short of being killed.
 */
export function openKeyboard(interrupt: AbortController): Keyboard {
  const { stdin, stdout } = process;
  const isTTY = stdin.isTTY ?? false;
  const restore = (): void => {
    if (isTTY) stdin.setRawMode(false);
  };
  const onHangup = (): void => {
    restore();
    interrupt.abort(new Interrupted('The terminal has hung up'));
  };
  if (isTTY) stdin.setRawMode(true);
  process.once('exit', restore);
  process.once('SIGHUP', onHangup);
  const listeners: (() => void)[] = [];
  return {
    isTTY,
    input: stdin,
    size: () => {
      const { rows, columns } = stdout;
      return rows > 0 && columns > 0 ? { rows, columns } : undefined;
    },
    onResize(listener) {
      listeners.push(listener);
      stdout.on('resize', listener);
    },
    [Symbol.dispose]() {
      restore();
      process.off('exit', restore);
      process.off('SIGHUP', onHangup);
      for (const listener of listeners) stdout.off('resize', listener);
      stdin.pause();
      stdin.unref();
    },
  };
}
