import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Certificates as LabCertificates } from '../../../lab/node/certificates.ts';
import { Certificates } from '../../../src/agent/rpc/certificates.ts';
import { GrpcPeers } from '../../../src/agent/rpc/grpc-peers.ts';
import { RpcServer } from '../../../src/agent/rpc/rpc-server.ts';
import { runCli } from '../../../src/cli/program.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { never, OneNode } from '../../unit/agent/vms/one-node.ts';

/** The real agent and its API over a fake hypervisor, and novactl that talks to it. */
export class ServedNode implements AsyncDisposable {
  readonly node: OneNode;
  readonly socket: string;
  /** Where other nodes reach it, by its name, `a`. */
  readonly address: string;
  /** Whose certificates it believes. */
  readonly authority: LabCertificates;
  /** The agents that it reaches. */
  readonly peers: GrpcPeers;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<ServedNode, 'node' | 'socket' | 'address' | 'authority' | 'peers'>,
    stack: AsyncDisposableStack,
  ) {
    this.node = parts.node;
    this.socket = parts.socket;
    this.address = parts.address;
    this.authority = parts.authority;
    this.peers = parts.peers;
    this.#stack = stack;
  }

  /** `options` are those of the agent. */
  static async start(options: Parameters<typeof OneNode.open>[0] = {}): Promise<ServedNode> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(path.join(os.tmpdir(), 'novactl-node-'));
    stack.defer(() => rm(folder, { recursive: true }));
    const authority = await LabCertificates.ensure(path.join(folder, 'ca'), never);
    const files = await authority.issue('node', 'URI:spiffe://novacron/node/a', never);
    const log = createLogger('silent');
    const certificates = stack.use(await Certificates.open(files, log));
    const peers = stack.use(new GrpcPeers({ addresses: {}, certificates }));
    const node = stack.use(await OneNode.open({ ...options, peers }));
    const { vms, consoles, migrations, incoming, operations, ownershipManager, shutdown } =
      node.agent;
    const { node: itself, guests, images } = node.agent;
    node.agent.run();
    const socket = path.join(folder, 'agent.sock');
    const server = stack.use(
      await RpcServer.start({
        socket,
        network: { listen: '127.0.0.1:0', certificates },
        vms,
        consoles,
        guests,
        images,
        migrations,
        incoming,
        operations,
        events: node.agent.events,
        ownership: ownershipManager,
        node: itself,
        shutdown,
        log,
        observer: { callStarted: () => undefined, callEnded: () => undefined },
      }),
    );
    const address = `127.0.0.1:${server.port}`;
    return new ServedNode({ node, socket, address, authority, peers }, stack.move());
  }

  /** Over the unix socket, unless other options choose the agent. */
  async novactl(
    words: string,
    stdin = '',
    { io = new FakeCliIo(), agent = ['--address', `unix:${this.socket}`] } = {},
  ) {
    io.stdin = stdin;
    const code = await runCli([...agent, ...words.split(' ')], io);
    return { code, stdout: io.stdout.text, stderr: io.stderr.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
