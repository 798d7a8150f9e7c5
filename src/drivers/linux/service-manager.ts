import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Logger } from '../../core/logger.ts';

const TIMEOUT_MS = 10_000;

/**
 * Tells systemd that this process has started, where it waits for that: `socket` is NOTIFY_SOCKET. By systemd's own program, as
 * Node has no datagrams of unix sockets. Never fails: whoever does not hear of it will say so.
 */
export async function tellReady(socket: string | undefined, log: Logger): Promise<void> {
  if (socket === undefined) return;
  try {
    const env = { ...process.env, NOTIFY_SOCKET: socket };
    await promisify(execFile)('systemd-notify', ['--ready'], { env, timeout: TIMEOUT_MS });
  } catch (error) {
    log.warn({ err: error }, 'Cannot tell systemd that the agent has started');
  }
}
