import { FakeTransferNetwork, FakeTransfers } from '../fakes/fake-transfers.ts';
import { transfersContract } from './transfers-contract.ts';

transfersContract('FakeTransfers', async () => {
  const network = new FakeTransferNetwork();
  return {
    source: new FakeTransfers(network),
    destination: new FakeTransfers(network),
    sourceName: 'spiffe://novacron/node/a',
    destinationName: 'spiffe://novacron/node/b',
    [Symbol.asyncDispose]: async () => {},
  };
});
