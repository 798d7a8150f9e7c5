import { openStandInNode } from '../fakes/stand-in-nodes.ts';
import { transfersContract } from './transfers-contract.ts';

transfersContract('StreamerTransfers with a stand-in program', async () => {
  const nodes = new AsyncDisposableStack();
  return {
    source: nodes.use(await openStandInNode()).transfers,
    destination: nodes.use(await openStandInNode()).transfers,
    sourceName: 'spiffe://novacron/node/a',
    destinationName: 'spiffe://novacron/node/b',
    [Symbol.asyncDispose]: () => nodes.disposeAsync(),
  };
});
