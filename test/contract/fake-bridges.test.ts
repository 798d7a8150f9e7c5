import { FakeBridges } from '../fakes/fake-bridges.ts';
import { testHostBridges } from './host-bridges-contract.ts';

testHostBridges('fake bridges', async () => {
  const bridges = new FakeBridges();
  return await Promise.resolve({
    bridges,
    add: async (name: string) => Promise.resolve(bridges.add(name)),
    remove: async (name: string) => Promise.resolve(bridges.remove(name)),
    addOther: async () => Promise.resolve(),
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  });
});
