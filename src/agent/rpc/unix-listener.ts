import { lstat, mkdir, unlink } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { codeOf, folderProblem } from '../../core/file-words.ts';
import { SOCKET_PATH_LIMIT, socketPathExcess } from '../../core/socket-path.ts';

const MAX_CONNECTIONS = 256;
const PROBE_TIMEOUT_MS = 2_000;
const ONLY_OWNER = 0o177;

/**
 * Listens on a unix socket that only this user (root) can connect to. A socket that a killed agent left behind
 * is replaced; one on which somebody answers is an error.
 */
export async function listenUnix(
  socketPath: string,
  onSocket: (socket: net.Socket) => void,
): Promise<net.Server> {
  if (socketPathExcess(socketPath) > 0) {
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot listen on ${socketPath}: a socket's path has at most ${SOCKET_PATH_LIMIT} bytes`,
    );
  }
  const folder = path.dirname(socketPath);
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw cannotListen(socketPath, `${folder} ${folderProblem(folder) ?? codeOf(error)}`, error);
  }
  await removeStale(socketPath);

  const server = net.createServer(onSocket);
  server.maxConnections = MAX_CONNECTIONS;
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once('listening', resolve).once('error', reject);
  // The socket comes to be inside of this call, so the mask holds for nothing else of this thread, and
  // there is no moment at which others could connect.
  const mask = process.umask(ONLY_OWNER);
  try {
    server.listen(socketPath);
  } finally {
    process.umask(mask);
  }
  try {
    await listening;
  } catch (error) {
    throw cannotListen(socketPath, `${folder} ${folderProblem(folder) ?? codeOf(error)}`, error);
  }
  // Running out of descriptors must not end the agent; accepting goes on by itself.
  server.on('error', () => undefined);
  return server;
}

async function removeStale(socketPath: string): Promise<void> {
  let found: Awaited<ReturnType<typeof lstat>>;
  try {
    found = await lstat(socketPath);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (!found.isSocket()) {
    throw cannotListen(socketPath, 'it is not a socket; move it away, or correct socket');
  }
  if (await isAnswered(socketPath)) {
    const wayOn = `see which with: ss -xlp src ${socketPath}; end it first, or give this one a socket of its own`;
    const why = `another process answers there, maybe an agent that runs already; ${wayOn}`;
    throw cannotListen(socketPath, why);
  }
  try {
    await unlink(socketPath);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Only a refused connection says that nobody is there: a full queue or a stopped process does not. */
async function isAnswered(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect(socketPath);
  socket.setTimeout(PROBE_TIMEOUT_MS, () => resolve(true));
  socket.once('connect', () => resolve(true));
  socket.once('error', (error) => resolve(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error))));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function cannotListen(socketPath: string, why: string, cause?: unknown): AgentError {
  return new AgentError('INVALID_CONFIG', `Cannot listen on ${socketPath}: ${why}`, { cause });
}
