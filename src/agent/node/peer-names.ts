import { lookup as lookUp } from 'node:dns/promises';
import { parseHostPort } from '../../core/host-port.ts';
import { ipVersionOf } from '../../core/ip-address.ts';
import type { Logger } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';

/**
 * Warns of peers whose names nothing on this node resolves: else that shows when a VM is to move there, or one that may be there is
 * looked for. One at a time, as each that waits for a silent name server has one of Node's few threads, and nothing waits for it
 * once aborted.
 */
export async function warnOfUnknownPeers(
  peers: Readonly<Record<string, string>>,
  log: Pick<Logger, 'warn'>,
  signal: AbortSignal,
  resolve: (host: string) => Promise<unknown> = lookUp,
): Promise<void> {
  for (const [peer, address] of Object.entries(peers)) {
    const { host } = parseHostPort(address);
    if (ipVersionOf(host) !== 0) continue;
    try {
      await untilAborted(resolve(host), signal);
    } catch {
      signal.throwIfAborted();
      const toDo = `look with getent hosts ${host}; correct peers.${peer}, or name its IP address there`;
      log.warn({ peer, address, toDo }, 'Nothing here resolves the name of a peer');
    }
  }
}
