import { readFileSync } from 'node:fs';
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { type HandshakeResponse, PeerServiceService } from '../../src/gen/novacron/peer/v1/peer.ts';

// An agent of another time: it agrees on a version of the peer protocol that nobody has offered.
// usage: foreign-peer.ts NODE HOST:PORT CERTIFICATE KEY CA
const [nodeName = '', address = '', certificate = '', key = '', ca = ''] = process.argv.slice(2);

const server = new Server();
server.addService(PeerServiceService, {
  handshake(_call: unknown, answer: sendUnaryData<HandshakeResponse>) {
    const hostUuid = crypto.randomUUID();
    answer(null, { protocol: 99, agentVersion: '99.0.0', nodeName, hostUuid, features: [] });
  },
});
const chain = [{ cert_chain: readFileSync(certificate), private_key: readFileSync(key) }];
server.bindAsync(address, ServerCredentials.createSsl(readFileSync(ca), chain, true), (error) => {
  if (error !== null) throw error;
  console.log('listening');
});
