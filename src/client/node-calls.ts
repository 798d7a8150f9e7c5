import {
  GetNodeRequest,
  type Node,
  NodeServiceService,
  WatchNodeRequest,
} from '../gen/novacron/agent/v1/node.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { required } from './required.ts';

/** The calls of NodeService. */
export class NodeCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async get(options: CallOptions): Promise<Node> {
    const request = GetNodeRequest.create();
    const response = await this.#connection.unary(NodeServiceService.getNode, request, options);
    return required(response.node, 'node');
  }

  /** The node as it is, then every change that matters. */
  async *watch(options: StreamOptions): AsyncGenerator<Node, void, undefined> {
    const request = WatchNodeRequest.create();
    for await (const { node } of this.#connection.stream(
      NodeServiceService.watchNode,
      request,
      options,
    )) {
      yield required(node, 'node');
    }
  }
}
