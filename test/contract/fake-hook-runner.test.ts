import { FakeHookRunner } from '../fakes/fake-hook-runner.ts';
import { testHookRunner } from './hook-runner-contract.ts';

testHookRunner('FakeHookRunner', async () => {
  const runner = new FakeHookRunner();
  runner.setProblem('/hooks/forbidden', 'it is not in /hooks; put it there');
  runner.setOutcome('/hooks/bad', { failure: 'ended with exit code 3', output: 'no lease left' });
  runner.block('/hooks/endless');
  return {
    runner,
    good: '/hooks/good',
    bad: '/hooks/bad',
    endless: '/hooks/endless',
    forbidden: '/hooks/forbidden',
    isRunning: () => Promise.resolve(runner.running > 0),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
});
