import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { HOST_ADDRESS } from '../../lab/guest/distribution/guest-machine.ts';

/** The files of a folder, for guests to fetch by HTTP: for what is too much for their agents. */
export class ServedFolder implements AsyncDisposable {
  /** As guests call it, without a slash at its end. */
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://${HOST_ADDRESS}:${(server.address() as AddressInfo).port}`;
  }

  static async serve(folder: string): Promise<ServedFolder> {
    const server = createServer((request, response) => {
      const name = path.normalize(decodeURIComponent(request.url ?? '/'));
      void send(path.join(folder, name), response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ServedFolder(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function send(file: string, response: ServerResponse): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-length': found.size });
  // A guest that has had enough of it is no failure.
  await pipeline(createReadStream(file), response).catch(() => undefined);
}
