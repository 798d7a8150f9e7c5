import { AgentError } from './errors.ts';
import { codeOf } from './file-words.ts';
import { formatHostPort, type HostPort } from './host-port.ts';

/** Why nothing can listen at an address that a setting names, and what to do. */
export function cannotListen(setting: string, address: HostPort, error: unknown): AgentError {
  const code = codeOf(error);
  const why = wordsFor(code, address) ?? code;
  const message = `Cannot listen on ${formatHostPort(address)}: ${why} (${code}); or correct ${setting}`;
  return new AgentError('INVALID_CONFIG', message, { cause: error });
}

function wordsFor(code: string, { host, port }: HostPort): string | undefined {
  switch (code) {
    case 'EADDRINUSE':
      return `another program listens there already, maybe an agent; see which with: ss -ltnp 'sport = :${port}', and end it`;
    case 'EADDRNOTAVAIL':
      return `this machine has no address ${host}; see those that it has with: ip address`;
    case 'EACCES':
      return 'only root may listen there; run the agent as root';
    default:
      return undefined;
  }
}
