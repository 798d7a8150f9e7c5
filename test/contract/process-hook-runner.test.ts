import { HookFolder } from '../fixtures/hook-folder.ts';
import { testHookRunner } from './hook-runner-contract.ts';

testHookRunner('ProcessHookRunner', async () => {
  const folder = await HookFolder.make();
  return {
    runner: folder.runner,
    good: await folder.add('good', '#!/bin/sh\nexit 0\n'),
    bad: await folder.add('bad', '#!/bin/sh\necho no lease left >&2\nexit 3\n'),
    endless: await folder.add('endless', '#!/bin/sh\nexec sleep 1000\n'),
    forbidden: '/bin/true',
    isRunning: async (vmUid) => (await folder.processesOf(vmUid)).includes('sleep 1000'),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});
