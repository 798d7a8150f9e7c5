import type { TransferRequest } from '../transfers.ts';

/** This node's certificate, its key, and the authority that all nodes' certificates come from: paths. */
export interface StreamerTls {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

export interface StreamerSettings {
  readonly tls: StreamerTls;
  /** Address on which incoming transfers listen, on a free port between the two. */
  readonly listenHost: string;
  readonly portMin: number;
  readonly portMax: number;
  readonly lanes: number;
  readonly compression: 'auto' | 'off';
  readonly reconnectTimeoutMs: number;
}

// A link that is worth compressing for is slower than zstd at its fastest regular level.
const COMPRESSION_LEVEL = 1;
// Longer than libvirt takes from our being ready to its first connection, also on a busy node.
const FIRST_CHANNEL_TIMEOUT_MS = 60_000;
// How long an ended transfer still answers on its control socket; its status file stays anyway.
const LINGER_MS = 1_000;

/** The file that tells a streamer what to do; it holds the token. See native/streamer/README.md. */
export function streamerConfig(
  request: TransferRequest,
  directory: string,
  settings: StreamerSettings,
): string {
  const { tls, listenHost, portMin, portMax } = settings;
  return JSON.stringify({
    version: 1,
    transferId: request.id,
    role: request.role,
    directory,
    tls: { ...tls, peerName: request.peerName },
    token: request.token,
    ...(request.role === 'source'
      ? { connect: request.connect }
      : { listen: { host: listenHost, portMin, portMax } }),
    lanes: settings.lanes,
    compression: {
      mode: request.compression === false ? 'off' : settings.compression,
      level: COMPRESSION_LEVEL,
    },
    bandwidthBytesPerSecond: request.bandwidthBytesPerSecond,
    // At the destination the socket is not the streamer's own.
    services: request.services.map(({ owner, ...service }) =>
      request.role === 'source' && owner !== undefined ? { ...service, owner } : service,
    ),
    reconnectTimeoutMs: settings.reconnectTimeoutMs,
    firstChannelTimeoutMs: FIRST_CHANNEL_TIMEOUT_MS,
    lingerMs: LINGER_MS,
  });
}
