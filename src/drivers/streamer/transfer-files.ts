import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import {
  runDirectoryExcess,
  SOCKET_PATH_LIMIT,
  socketPathExcess,
  transfersFolder,
} from '../../core/socket-path.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SERVICE = /^[a-z][a-z0-9-]*$/;

/** Where the files of transfers are: `<run directory>/transfers/<id>/…`. */
export class TransferFiles {
  readonly root: string;

  /** Fails with INVALID_CONFIG if the path is too long for a socket to lie below it. */
  constructor(runDirectory: string) {
    this.root = transfersFolder(runDirectory);
    const excess = runDirectoryExcess(runDirectory);
    if (excess > 0) {
      throw new AgentError(
        'INVALID_CONFIG',
        `The run directory ${runDirectory} is too long: sockets of transfers may have ${SOCKET_PATH_LIMIT} bytes in their path; shorten it by ${excess}`,
      );
    }
  }

  isId(name: string): boolean {
    return UUID.test(name);
  }

  /** Fails with INVALID_REQUEST if the id is no lower-case UUID. */
  directory(id: string): string {
    if (!this.isId(id)) {
      throw new AgentError('INVALID_REQUEST', `The id ${id} of a transfer is no lower-case UUID`);
    }
    return path.join(this.root, id);
  }

  config(id: string): string {
    return path.join(this.directory(id), 'config.json');
  }

  status(id: string): string {
    return path.join(this.directory(id), 'status.json');
  }

  log(id: string): string {
    return path.join(this.directory(id), 'streamer.log');
  }

  control(id: string): string {
    return path.join(this.directory(id), 'control.sock');
  }

  /** A service's socket lies in a folder of its own, which may belong to whoever makes the socket. */
  service(id: string, service: string): string {
    const file = path.join(this.directory(id), service, 'socket');
    if (!SERVICE.test(service) || socketPathExcess(file) > 0) {
      throw new AgentError('INVALID_REQUEST', `A transfer cannot have a service ${service}`);
    }
    return file;
  }
}
