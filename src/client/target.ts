import { readFile } from 'node:fs/promises';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js';
import { AgentError } from '../core/errors.ts';
import { whyUnreadable } from '../core/file-words.ts';
import { hostPortProblem, parseHostPort } from '../core/host-port.ts';
import { ipVersionOf } from '../core/ip-address.ts';

/** Where an agent is and how to prove who calls and who answers. */
export interface AgentTarget {
  /** `unix:/run/novacron/agent.sock`, or HOST:PORT for mutual TLS. */
  readonly address: string;
  /**
   * The answering certificate must carry `spiffe://novacron/node/NAME`; without a name its host name is
   * checked. Means nothing on a unix socket.
   */
  readonly nodeName?: string | undefined;
  /** Required for HOST:PORT. */
  readonly tls?: TlsFiles | undefined;
  /** Told of each connection when the certificate expires that the node with this name has shown. */
  readonly onIdentified?: ((expiresAtMs: number) => void) | undefined;
}

/** Paths of PEM files. */
interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

export interface ChannelSettings {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/** What a channel to a target needs. Fails with INVALID_CONFIG if the certificate cannot be used. */
export async function channelSettings(target: AgentTarget): Promise<ChannelSettings> {
  if (target.address.startsWith('unix:')) {
    return { credentials: credentials.createInsecure(), options: {} };
  }
  if (target.tls === undefined) {
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot connect to ${target.address}: a TCP address needs a client certificate, its key and the CA`,
    );
  }
  const problem = hostPortProblem(target.address, 'reach');
  if (problem !== undefined) {
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot connect to ${target.address}: the address ${problem}`,
    );
  }
  const { host } = parseHostPort(target.address);
  const { nodeName, onIdentified } = target;
  return {
    credentials: credentials.createFromSecureContext(await secureContext(target.tls), {
      checkServerIdentity: (_name, certificate) => {
        if (nodeName === undefined) return checkServerIdentity(host, certificate);
        const problem = checkNodeIdentity(nodeName, certificate);
        if (problem === undefined) onIdentified?.(Date.parse(certificate.valid_to));
        return problem;
      },
    }),
    // An IP address must not be sent as the TLS server name (RFC 6066).
    options: {
      'grpc.ssl_target_name_override':
        nodeName ?? (ipVersionOf(host) === 0 ? host : 'novacron-agent'),
    },
  };
}

/** Undefined if the certificate belongs to the node, as `checkServerIdentity` of node:tls wants it. */
export function checkNodeIdentity(
  nodeName: string,
  certificate: Pick<PeerCertificate, 'subjectaltname'>,
): Error | undefined {
  const wanted = `URI:spiffe://novacron/node/${nodeName}`;
  // Node quotes names that hold a comma, so splitting cannot be tricked into finding one.
  const names = certificate.subjectaltname?.split(', ') ?? [];
  if (names.includes(wanted)) return undefined;
  return new Error(
    `its certificate is not that of node ${nodeName} (${names.join(', ') || 'no names in it'})`,
  );
}

async function secureContext(files: TlsFiles) {
  const [cert, key, ca] = await Promise.all([
    readPem(files.certificate, 'certificate'),
    readPem(files.key, 'key'),
    readPem(files.ca, 'CA'),
  ]);
  try {
    return createSecureContext({ cert, key, ca, minVersion: 'TLSv1.3' });
  } catch (error) {
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot use the certificate ${files.certificate} with the key ${files.key}`,
      { cause: error },
    );
  }
}

async function readPem(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const why = whyUnreadable(error);
    throw new AgentError('INVALID_CONFIG', `Cannot read the ${what} ${file}: ${why}`, {
      cause: error,
    });
  }
}
