import type { NodeServiceService } from '../../gen/novacron/agent/v1/node.ts';
import type { NodeService } from '../node/node.ts';
import type { ServiceHandlers } from './bind-service.ts';
import { toNode } from './node-conversion.ts';

export function nodeHandlers(node: NodeService): ServiceHandlers<NodeServiceService> {
  return {
    async getNode(_request, { signal }) {
      return { node: toNode(await node.get(signal)) };
    },

    async *watchNode(_request, { signal }) {
      for await (const state of node.watch(signal)) yield { node: toNode(state) };
    },
  };
}
