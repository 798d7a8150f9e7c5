import { describe } from 'node:test';
import { hostRelease } from '../../lab/guest/distribution/apt-sources.ts';
import { testGuest } from '../guests/whole-guest.ts';

/** Those that docs/install.md is for. */
const RELEASES = ['bookworm', 'trixie'];

const own = await hostRelease();
for (const release of RELEASES.filter((each) => each !== own)) {
  describe(release, () => testGuest(release));
}
