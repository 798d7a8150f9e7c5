import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type DistributionGuest,
  ensureDistributionGuest,
} from '../../lab/guest/distribution/distribution-guest.ts';
import { GuestMachine } from '../../lab/guest/distribution/guest-machine.ts';
import { walkInstallPage } from './installation.ts';

const never = new AbortController().signal;
const SEED = {
  instanceId: 'guests',
  userData: {
    hostname: 'seeded',
    write_files: [{ path: '/etc/seeded', content: 'by cloud-init\n' }],
    runcmd: ['echo "ran as $(id -un)" >/etc/seeded-run'],
  },
};

/** All that is tried on a whole Debian, on one machine, as it takes long to boot. */
export function testGuest(release: string | undefined): void {
  let guest: DistributionGuest;
  let machine: GuestMachine;
  const resources = new AsyncDisposableStack();
  before(async () => {
    guest = await ensureDistributionGuest(never, release);
    machine = resources.use(await GuestMachine.boot(guest, SEED, never));
  });
  after(() => resources.disposeAsync());

  test('it comes up with nothing that has failed', async ({ signal }) => {
    const { stdout } = await machine.tryRun('systemctl is-system-running --wait', signal);
    const failed = await machine.run('systemctl --failed --no-legend', signal);
    assert.deepEqual([stdout.trim(), failed], ['running', '']);
  });

  test('it becomes what its seed says', async ({ signal }) => {
    assert.match(await machine.run('cloud-init status --wait', signal), /^\.*\s*status: done$/m);
    assert.equal(await machine.run('hostname', signal), 'seeded\n');
    const said = await machine.run('cat /etc/seeded /etc/seeded-run', signal);
    assert.equal(said, 'by cloud-init\nran as root\n');
  });

  test('its disk is one ext4 file system of 4 KiB blocks', async ({ signal }) => {
    const root = await machine.run('stat --file-system --format "%T %s" /', signal);
    assert.equal(root, 'ext2/ext3 4096\n');
    assert.equal(await machine.run('findmnt --noheadings --output FSTYPE /', signal), 'ext4\n');
  });

  test('its nginx serves', async ({ signal }) => {
    const fetch = `python3 -c 'import urllib.request as r; print(r.urlopen("http://localhost").status)'`;
    assert.equal(await machine.run(fetch, signal), '200\n');
  });

  test('its SQLite keeps what it is given', async ({ signal }) => {
    const input = 'create table t (x); insert into t values (41), (42); select sum(x) from t;';
    const sqlite = 'sqlite3 /var/tmp/numbers.db';
    assert.equal(await machine.run(sqlite, signal, { input }), '83\n');
    assert.equal(await machine.run(`${sqlite} 'select max(x) from t'`, signal), '42\n');
  });

  test('what is run in it has its exit code, its output and its time', async ({ signal }) => {
    const { code, stdout, stderr } = await machine.tryRun('echo out; echo err >&2; exit 3', signal);
    assert.deepEqual([code, stdout, stderr], [3, 'out\n', 'err\n']);
    const late = await machine.tryRun('echo begun; sleep infinity', signal, { timeoutMs: 10_000 });
    assert.deepEqual([late.code, late.stdout], [124, 'begun\n']);
    const long = await machine.run('seq 200000', signal);
    assert.equal(long.length, 1_288_895);
  });

  walkInstallPage(() => ({ guest, machine }));
}
