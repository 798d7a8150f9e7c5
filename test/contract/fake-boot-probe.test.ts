import { FakeBootProbe } from '../fakes/fake-boot-probe.ts';
import { describeBootProbe } from './boot-probe-contract.ts';

describeBootProbe({
  boots: () => new FakeBootProbe({ boots: true, why: '' }),
  hangs: () => new FakeBootProbe({ boots: false, why: 'it says nothing' }),
});
