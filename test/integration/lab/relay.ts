import { connect, createServer } from 'node:net';

/** Leads every connection to one unix socket on to another, until disposed. */
export async function relay(from: string, to: string): Promise<AsyncDisposable> {
  const server = createServer((incoming) => {
    const outgoing = connect(to);
    // Either side going away ends the other.
    incoming.on('error', () => outgoing.destroy());
    outgoing.on('error', () => incoming.destroy());
    incoming.pipe(outgoing).pipe(incoming);
  });
  await new Promise<void>((resolve) => {
    server.listen(from, resolve);
  });
  return {
    async [Symbol.asyncDispose]() {
      await new Promise<unknown>((resolve) => {
        server.close(resolve);
      });
    },
  };
}
