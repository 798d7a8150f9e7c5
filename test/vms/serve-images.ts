import { existsSync, readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * Serves the files of a folder at a port of this node's own, with ranges, and says on its output what was asked. What is asked for
 * below `slow` comes in halves, the second one once there is a file `go-on` in the folder.
 */

const [folder = '', port = ''] = process.argv.slice(2);

createServer((request, response) => {
  const { method = '', url = '', headers } = request;
  process.stdout.write(`${method} ${url} ${headers.range ?? ''}\n`);
  const [, slow, name = ''] = /^\/(slow\/)?([\w.-]+)$/.exec(url) ?? [];
  const file = path.join(folder, name);
  if (name === '' || !existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  const content = readFileSync(file);
  const from = Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0);
  const common = { etag: `"${name}-1"`, 'accept-ranges': 'bytes' };
  if (headers['if-none-match'] === common.etag) {
    response.writeHead(304, common).end();
    return;
  }
  const length = content.length - from;
  const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
  const isPart = headers.range !== undefined;
  response.writeHead(isPart ? 206 : 200, {
    ...common,
    ...(isPart ? range : {}),
    'content-length': length,
  });
  void send(response, content.subarray(from), slow !== undefined);
}).listen(Number(port), '127.0.0.1');

async function send(response: ServerResponse, content: Buffer, isSlow: boolean): Promise<void> {
  const half = isSlow ? Math.floor(content.length / 2) : content.length;
  response.write(content.subarray(0, half));
  if (isSlow) await untilGoOn(response);
  response.end(content.subarray(half));
}

async function untilGoOn(response: ServerResponse): Promise<void> {
  while (!existsSync(path.join(folder, 'go-on')) && !response.destroyed) await sleep(50);
}
