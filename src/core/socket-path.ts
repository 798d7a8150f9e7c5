import path from 'node:path';

// sun_path of sockaddr_un has 108 bytes, one of them for the end.
export const SOCKET_PATH_LIMIT = 107;
const TRANSFER_ID_LENGTH = 36;
const LONGEST_IN_TRANSFER = 'libvirt/socket';

/** By how many bytes a socket's path is too long; 0 or less if it is not. */
export function socketPathExcess(socket: string): number {
  return Buffer.byteLength(socket) - SOCKET_PATH_LIMIT;
}

/** The folder that each transfer has one in. */
export function transfersFolder(runDirectory: string): string {
  return path.join(runDirectory, 'transfers');
}

/** The same for the sockets of transfers, which have the longest paths below the run directory. */
export function runDirectoryExcess(runDirectory: string): number {
  const id = 'x'.repeat(TRANSFER_ID_LENGTH);
  return socketPathExcess(path.join(transfersFolder(runDirectory), id, LONGEST_IN_TRANSFER));
}
