import { FakeStorage } from '../fakes/fake-storage.ts';
import { testDiskProbe } from './disk-probe-contract.ts';

testDiskProbe('fake storage', async () => {
  const storage = new FakeStorage();
  const facts = { kind: 'file', name: 'a', sizeBytes: 2 ** 20, fileId: '6969:7' } as const;
  return {
    here: storage.probeOf('a'),
    there: storage.probeOf('b'),
    async shared(format) {
      storage.put(['a', 'b'], '/srv/shared/a', { facts: { ...facts, format } });
      const place = { kind: 'file', path: '/srv/shared/a', format } as const;
      return [place, place];
    },
    async separate() {
      for (const node of ['a', 'b']) {
        storage.put([node], '/srv/own/a', { storage: node, facts: { ...facts, format: 'raw' } });
      }
      const place = { kind: 'file', path: '/srv/own/a', format: 'raw' } as const;
      return [place, place];
    },
    async opened() {
      storage.put(['a', 'b'], '/srv/shared/a');
      const place = { kind: 'file', path: '/srv/shared/a', format: 'raw', vmUid: 'web' } as const;
      return {
        place,
        replace: async (by) => {
          if (by === 'nothing') storage.remove('a', place.path);
          storage.replaced.add(`a:${place.path}`);
        },
      };
    },
    async countMarks() {
      return storage.marks.size;
    },
    missing: '/srv/none',
    async outside() {
      const [there, missing] = ['/etc/shadow', '/etc/none'].map((path) => {
        storage.put(['a', 'b'], path, { refusedOn: ['a', 'b'] });
        return [{ kind: 'file', path, format: 'raw' } as const];
      });
      return {
        there: there ?? [],
        missing: missing ?? [],
        countMarks: async () => storage.marks.size,
      };
    },
    async [Symbol.asyncDispose]() {},
  };
});
