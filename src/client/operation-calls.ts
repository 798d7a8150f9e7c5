import type { WatchCursor } from '../gen/novacron/agent/v1/common.ts';
import {
  CancelOperationRequest,
  GetOperationRequest,
  ListOperationsRequest,
  type ListOperationsResponse,
  type Operation,
  OperationServiceService,
  WatchOperationsRequest,
} from '../gen/novacron/agent/v1/operation.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { allPages } from './pages.ts';
import { required } from './required.ts';
import type { VmRefInput } from './vm-calls.ts';
import type { WatchMessage } from './watch.ts';

export interface OperationListFilter {
  /** With a uid only that counts. */
  readonly virtualMachine?: VmRefInput | undefined;
  /** Only those of VMs of this namespace; not together with a VM. */
  readonly namespace?: string | undefined;
  /** Only those that have not ended. */
  readonly activeOnly?: boolean | undefined;
}

/** The calls of OperationService. */
export class OperationCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async get(id: string, options: CallOptions): Promise<Operation> {
    const response = await this.#connection.unary(
      OperationServiceService.getOperation,
      GetOperationRequest.create({ id }),
      options,
    );
    return required(response.operation, 'operation');
  }

  /** One page, newest first. */
  list(
    filter: OperationListFilter & {
      readonly pageSize?: number | undefined;
      readonly pageToken?: string | undefined;
    },
    options: CallOptions,
  ): Promise<ListOperationsResponse> {
    const { activeOnly = false, pageSize = 0, pageToken = '' } = filter;
    return this.#connection.unary(
      OperationServiceService.listOperations,
      ListOperationsRequest.create({ ...chosen(filter), activeOnly, pageSize, pageToken }),
      options,
    );
  }

  /** All operations, newest first, a page at a time. */
  async *listAll(
    filter: OperationListFilter,
    options: CallOptions,
  ): AsyncGenerator<Operation, void, undefined> {
    for await (const page of allPages((part) => this.list({ ...filter, ...part }, options))) {
      yield* page.operations;
    }
  }

  /** One watch, as the agent serves it; `watchOperations` goes on after a lost connection. */
  async *watch(
    filter: Pick<OperationListFilter, 'virtualMachine' | 'namespace'> & {
      /** Only this one. */
      readonly id?: string | undefined;
      readonly cursor?: WatchCursor | undefined;
    },
    options: StreamOptions,
  ): AsyncGenerator<WatchMessage<Operation>, void, undefined> {
    const { id = '', cursor } = filter;
    const request = WatchOperationsRequest.create({ id, ...chosen(filter) });
    request.cursor = cursor;
    for await (const { type, operation, origin } of this.#connection.stream(
      OperationServiceService.watchOperations,
      request,
      options,
    )) {
      yield { type, object: operation, origin };
    }
  }

  /** Ends it as far as that is possible; one that has ended stays as it is. */
  async cancel(id: string, options: CallOptions): Promise<Operation> {
    const response = await this.#connection.unary(
      OperationServiceService.cancelOperation,
      CancelOperationRequest.create({ id }),
      options,
    );
    return required(response.operation, 'operation');
  }
}

function chosen({ virtualMachine, namespace = '' }: OperationListFilter) {
  return virtualMachine === undefined ? { namespace } : { virtualMachine, namespace };
}
