import { lookup as lookUp } from 'node:dns/promises';
import { isIP } from 'node:net';
import { parseHostPort } from '../../core/host-port.ts';
import type { Logger } from '../../core/logger.ts';

/**
 * Warns of peers whose names nothing on this node resolves: else that shows when a VM is to move there, or one that may be there is
 * looked for.
 */
export async function warnOfUnknownPeers(
  peers: Readonly<Record<string, string>>,
  log: Pick<Logger, 'warn'>,
  resolve: (host: string) => Promise<unknown> = lookUp,
): Promise<void> {
  await Promise.all(
    Object.entries(peers).map(async ([peer, address]) => {
      const { host } = parseHostPort(address);
      if (isIP(host) !== 0) return;
      try {
        await resolve(host);
      } catch {
        const toDo = `look with getent hosts ${host}; correct peers.${peer}, or name its IP address there`;
        log.warn({ peer, address, toDo }, 'Nothing here resolves the name of a peer');
      }
    }),
  );
}
