import type net from 'node:net';
import tls from 'node:tls';
import { AgentError } from '../../core/errors.ts';
import type { HostPort } from '../../core/host-port.ts';
import { cannotListen } from '../../core/listen-words.ts';
import type { Logger } from '../../core/logger.ts';
import type { Certificates } from './certificates.ts';
import { type Caller, identifyCertificate } from './identity.ts';

const MAX_CONNECTIONS = 1_024;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEPALIVE_MS = 30_000;
const LOG_INTERVAL_MS = 10_000;

/**
 * Listens for mutual TLS 1.3: a client without a certificate of our CA does not get past the handshake.
 * `onSocket` is given who is at the other end, or why its certificate does not say.
 */
export async function listenTls(
  address: HostPort,
  certificates: Certificates,
  log: Logger,
  onSocket: (socket: tls.TLSSocket, caller: Caller | AgentError) => void,
): Promise<tls.Server> {
  const server = tls.createServer({
    ...contextOptions(certificates),
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ['h2'],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_MS,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    // A client that does not ask for HTTP/2 by ALPN speaks something else.
    if (socket.alpnProtocol !== 'h2') socket.destroy();
    else onSocket(socket, identify(socket));
  });
  logFailures(server, log);

  const stopWatching = certificates.onChange(() =>
    server.setSecureContext(contextOptions(certificates)),
  );
  server.once('close', stopWatching);
  await listen(server, address);
  return server;
}

// Given anew with each change: what is missing in setSecureContext falls back to Node's defaults.
function contextOptions(certificates: Certificates): tls.SecureContextOptions {
  return { ...certificates.current, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' };
}

function identify(socket: tls.TLSSocket): Caller | AgentError {
  try {
    const certificate = socket.getPeerX509Certificate();
    if (certificate !== undefined) return identifyCertificate(certificate);
  } catch (error) {
    if (error instanceof AgentError) return error;
  }
  return new AgentError('UNAUTHENTICATED', 'The client certificate cannot be read');
}

async function listen(server: tls.Server, address: HostPort): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('listening', resolve).once('error', reject);
  server.listen({ host: address.host, port: address.port });
  try {
    await promise;
  } catch (error) {
    throw cannotListen('listen', address, error);
  }
  // Running out of descriptors must not end the agent; accepting goes on by itself.
  server.on('error', () => undefined);
}

/** Handshakes that fail are worth a look (a wrong CA, an expired certificate), but anyone can cause them. */
function logFailures(server: tls.Server, log: Logger): void {
  let lastLoggedAt = Number.NEGATIVE_INFINITY;
  let suppressed = 0;
  server.on('tlsClientError', (error: Error, socket: net.Socket) => {
    if (performance.now() - lastLoggedAt < LOG_INTERVAL_MS) {
      suppressed++;
      return;
    }
    lastLoggedAt = performance.now();
    log.warn(
      { peer: socket.remoteAddress ?? 'unknown', suppressed, err: error },
      'TLS handshake failed',
    );
    suppressed = 0;
  });
}
