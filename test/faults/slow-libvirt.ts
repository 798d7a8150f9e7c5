import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { LabNode } from '../../lab/node/lab-node.ts';

/*
 * libvirt's calls, as include/libvirt and src/rpc/virnetprotocol.x have them; all numbers are big-endian:
 *
 *   length (4) program (4) version (4) procedure (4) type (4) serial (4) status (4) arguments
 *
 * The length counts itself. A domain among the arguments has its name, its UUID as 16 bytes, and its number.
 */
const HEADER_BYTES = 28;
const PROGRAM_REMOTE = 0x20008086;
const PROCEDURE_DOMAIN_GET_XML_DESC = 14;
/** Longer than a listing waits for one domain, and so short that no call hangs for good. */
const DELAY_MS = 2_500;

/** The libvirt of a node behind another socket, where it can be made slow to describe a domain and is itself otherwise. */
export class SlowLibvirt implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #slow = new Map<string, Buffer>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Where an agent in the node finds it, as a setting. */
  static readonly uri = 'qemu+unix:///system?socket=/run/slow-libvirt.sock';

  static async start(node: LabNode): Promise<SlowLibvirt> {
    const server = createServer();
    const slow = new SlowLibvirt(server);
    const to = node.outside('run/libvirt/libvirt-sock');
    server.on('connection', (client) => slow.#relay(client, connect(to)));
    server.listen(node.outside('run/slow-libvirt.sock'));
    await once(server, 'listening');
    return slow;
  }

  /** Nobody is told in time what this domain is, until disposed. */
  slowDown(uid: string): Disposable {
    this.#slow.set(uid, Buffer.from(uid.replaceAll('-', ''), 'hex'));
    return { [Symbol.dispose]: () => void this.#slow.delete(uid) };
  }

  #relay(client: Socket, libvirt: Socket): void {
    for (const [one, other] of [
      [client, libvirt],
      [libvirt, client],
    ] as const) {
      this.#open.add(one);
      one.once('close', () => {
        this.#open.delete(one);
        other.destroy();
      });
      one.on('error', () => other.destroy());
    }
    libvirt.pipe(client);
    let rest = Buffer.alloc(0);
    client.on('data', (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= HEADER_BYTES && rest.length >= rest.readUInt32BE(0)) {
        const call = rest.subarray(0, rest.readUInt32BE(0));
        rest = rest.subarray(call.length);
        if (this.#isSlow(call)) setTimeout(() => libvirt.write(call), DELAY_MS).unref();
        else libvirt.write(call);
      }
    });
  }

  #isSlow(call: Buffer): boolean {
    if (call.readUInt32BE(4) !== PROGRAM_REMOTE) return false;
    if (call.readUInt32BE(12) !== PROCEDURE_DOMAIN_GET_XML_DESC) return false;
    return [...this.#slow.values()].some((uuid) => call.includes(uuid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }
}
