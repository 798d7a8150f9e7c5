import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

/* A process of its own: serves the files of a folder at a port of the node that it is started on. */

const [folder = '', port = ''] = process.argv.slice(2);

createServer((request, response) => {
  const name = path.basename(decodeURIComponent(request.url ?? '/'));
  void send(path.join(folder, name), response);
}).listen(Number(port), '127.0.0.1');

async function send(file: string, response: ServerResponse): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-length': found.size, etag: `"${found.mtimeMs}"` });
  // Who has had enough of it is no failure.
  await pipeline(createReadStream(file), response).catch(() => undefined);
}
