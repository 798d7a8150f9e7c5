import { AgentError } from '../../core/errors.ts';
import type { Peer, Peers } from '../migration/peers.ts';

/** Of a node that is alone: it has no certificate to show to another. */
export class NoPeers implements Peers {
  find(nodeName: string): Peer {
    throw alone(nodeName);
  }

  visit<T>(nodeName: string): Promise<T> {
    return Promise.reject(alone(nodeName));
  }

  list(): readonly Peer[] {
    return [];
  }
}

function alone(nodeName: string): AgentError {
  return new AgentError(
    'PEER_UNKNOWN',
    `Cannot reach node ${nodeName}: this node is alone, as its configuration has no "advertise"`,
    { metadata: { nodeName } },
  );
}
