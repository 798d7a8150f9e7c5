import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { DebianVm } from './debian-vm.ts';

/* What a guest has used and no longer needs, as its node sees it. */

const MIB = 1024 ** 2;
const USED_MIB = 300;
/** The kernel reports what has been free for two seconds, of which the statistics are as old again. */
const PATIENCE_MS = 60_000;

interface Seen {
  readonly status: { readonly statistics: { readonly memoryRssBytes: number } };
}

test("memory that a guest has used and freed is the node's again", async (context) => {
  const { signal } = context;
  await using vm = await DebianVm.prepare(['a'], signal);
  const use = `import time; print("says: begins.", flush=True); time.sleep(8)
  used = bytearray(b"x") * (${USED_MIB} << 20); print("says: uses.", flush=True); time.sleep(8)`;
  const userData = `#cloud-config
runcmd:
  - |
    python3 -c '${use.replaceAll('\n  ', '; ')}' >/dev/ttyS0
    echo "says: freed." >/dev/ttyS0
`;
  await vm.apply({ userData });
  await vm.ctl(['vm', 'start', vm.name]);
  const rssMib = async () => (await vm.read<Seen>()).status.statistics.memoryRssBytes / MIB;
  await vm.nextSaid('a', 'begins');
  const before = await rssMib();
  await vm.nextSaid('a', 'uses');
  const grown = before + 0.8 * USED_MIB;
  const most = await waitUntil(
    'it is seen to use it',
    PATIENCE_MS,
    async () => {
      const now = await rssMib();
      return now > grown && now;
    },
    signal,
  );
  await vm.nextSaid('a', 'freed');
  const after = await waitUntil(
    'its node has it back',
    PATIENCE_MS,
    async () => {
      const now = await rssMib();
      return now < most - 0.8 * USED_MIB && now;
    },
    signal,
  );
  context.diagnostic(`MiB of the node: ${[before, most, after].map(Math.round).join(', ')}`);
  assert.ok(after < most);
});
