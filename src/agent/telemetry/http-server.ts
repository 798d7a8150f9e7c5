import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseHostPort } from '../../core/host-port.ts';
import { cannotListen } from '../../core/listen-words.ts';
import type { Logger } from '../../core/logger.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import type { Heartbeat } from './process-metrics.ts';

/** Something that keeps the node from being of use. */
export interface Obstacle {
  /** What is missing, such as `hypervisor`. */
  readonly check: string;
  readonly message: string;
}

export interface HttpServerOptions {
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: string;
  readonly metrics: AgentMetrics;
  readonly heartbeat: Heartbeat;
  /** What keeps the agent from working now; empty when it is ready. Must cost nothing. */
  readonly obstacles: () => readonly Obstacle[];
  readonly log: Logger;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

// Whoever is slower than this is no scraper and no kubelet.
const REQUEST_TIMEOUT_MS = 5_000;
const CHECK_INTERVAL_MS = 1_000;
const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8_192;
// A process that was stuck for so long should be restarted; guests and transfers do not notice.
const STUCK_MS = 30_000;
const TEXT = 'text/plain; charset=utf-8';

/** Metrics and probes over plain HTTP, for this node and its Prometheus: read only, and nothing in it is secret. */
export class HttpServer implements AsyncDisposable {
  readonly #options: HttpServerOptions;
  readonly #server: Server;

  private constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: CHECK_INTERVAL_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => void this.#handle(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    // Also ends those who send nothing at all or do not read the answer.
    this.#server.setTimeout(2 * REQUEST_TIMEOUT_MS, (socket) => socket.destroy());
  }

  /** Listens; fails with INVALID_CONFIG if it cannot, as where the address is taken. */
  static async start(options: HttpServerOptions): Promise<HttpServer> {
    const http = new HttpServer(options);
    const address = parseHostPort(options.listen);
    http.#server.listen(address.port, address.host);
    try {
      await once(http.#server, 'listening');
    } catch (error) {
      throw cannotListen('httpListen', address, error);
    }
    return http;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    // A body is not wanted and is not waited for.
    if ('content-length' in request.headers || 'transfer-encoding' in request.headers) {
      response.setHeader('Connection', 'close');
    }
    const { status, type, body } = await this.#answer(request, response);
    const length = Buffer.byteLength(body);
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': length });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<Answer> {
    const [path] = request.url?.split('?') ?? [];
    const answer = {
      '/metrics': () => this.#metrics(),
      '/healthz': () => this.#health(),
      '/readyz': () => this.#readiness(),
    }[path ?? ''];
    if (answer === undefined) return { status: 404, type: TEXT, body: 'Not found\n' };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return { status: 405, type: TEXT, body: 'Method not allowed\n' };
    }
    try {
      return await answer();
    } catch (error) {
      this.#options.log.error({ err: error, path }, 'Cannot answer an HTTP request');
      return { status: 500, type: TEXT, body: 'Internal error\n' };
    }
  }

  async #metrics(): Promise<Answer> {
    const { metrics } = this.#options;
    return { status: 200, type: metrics.contentType, body: await metrics.render() };
  }

  #health(): Answer {
    const lagMs = this.#options.heartbeat.lagMs();
    if (lagMs < STUCK_MS) return { status: 200, type: TEXT, body: 'ok\n' };
    return { status: 503, type: TEXT, body: `The agent was stuck for ${Math.round(lagMs)} ms\n` };
  }

  #readiness(): Answer {
    const obstacles = this.#options.obstacles();
    if (obstacles.length === 0) return { status: 200, type: TEXT, body: 'ok\n' };
    const lines = obstacles.map(({ check, message }) => JSON.stringify({ check, message }));
    return { status: 503, type: 'application/x-ndjson', body: `${lines.join('\n')}\n` };
  }
}
