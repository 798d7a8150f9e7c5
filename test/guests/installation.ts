import assert from 'node:assert/strict';
import { mkdtempDisposable, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DistributionGuest } from '../../lab/guest/distribution/distribution-guest.ts';
import type { GuestMachine } from '../../lab/guest/distribution/guest-machine.ts';
import { buildDebianPackage } from '../../lab/package/debian-package.ts';
import { readInstallPage } from './install-page.ts';
import { Novice } from './novice.ts';
import { ServedFolder } from './served-folder.ts';

const [OLDER, NEWER] = ['1.0.0', '1.1.0'];
/** The folder that has them both. */
const BOTH = 'both';

const never = new AbortController().signal;
const page = await readInstallPage();

/** Walks docs/install.md on a machine that is a bare Debian. Each test goes on where the one before it has ended. */
export function walkInstallPage(
  current: () => { readonly guest: DistributionGuest; readonly machine: GuestMachine },
): void {
  describe('docs/install.md', () => {
    const resources = new AsyncDisposableStack();
    let machine: GuestMachine;
    let novice: Novice;
    let qemu: number;
    before(async () => {
      const { guest } = current();
      machine = current().machine;
      novice = new Novice(machine);
      const folder = resources.use(await mkdtempDisposable(path.join(os.tmpdir(), 'packages-')));
      await symlink(guest.mirrorPath, `${folder.path}/mirror`);
      const served = resources.use(await ServedFolder.serve(folder.path));
      for (const version of [OLDER, NEWER]) await bring(version, machine, folder.path, served);
      const source = `deb [trusted=yes] ${served.url}/mirror ./\n`;
      await machine.run('cat >/etc/apt/sources.list', never, { input: source });
    });
    after(() => resources.disposeAsync());

    test('its commands make a node of a bare Debian', async ({ signal }) => {
      await novice.type(page.find('', 'A node'), { folder: OLDER }, signal);
      await novice.expectHealthyNode(signal);
    });

    test('and have others reach it, with certificates of its own CA', async ({ signal }) => {
      await novice.type(page.find('', 'Reached by others'), { folder: OLDER }, signal);
      await novice.expectHealthyNode(signal);
      const listening = await machine.run('ss --listening --tcp --numeric', signal);
      assert.match(listening, /:7443 /);
    });

    test('its first VM runs', async ({ signal }) => {
      await novice.type(page.find('', 'The first VM'), { folder: OLDER }, signal);
      await novice.expectRunningVm(signal);
      qemu = await novice.findQemu(signal);
    });

    const expectSameVm = async (version: string, signal: AbortSignal): Promise<void> => {
      await novice.expectRunningVm(signal);
      const said = await machine.run('novactl version', signal);
      assert.match(said, new RegExp(`^agent +${version}`, 'm'));
      assert.equal(await novice.findQemu(signal), qemu);
    };

    test('VMs run on through an upgrade', async ({ signal }) => {
      await novice.type(page.find('upgrade'), { folder: BOTH, version: NEWER }, signal);
      await expectSameVm(NEWER, signal);
    });

    test('and through a downgrade', async ({ signal }) => {
      await novice.type(page.find('downgrade'), { folder: BOTH, version: OLDER }, signal);
      await expectSameVm(OLDER, signal);
    });

    test('removal leaves VMs running and defined, and says how to go on', async ({ signal }) => {
      const said = await novice.type(page.find('removal'), { folder: OLDER }, signal);
      assert.match(said, /virsh list --all/);
      assert.match(await machine.run('virsh list --all', signal), / default_first +running/);
      assert.equal(await novice.findQemu(signal), qemu);
      assert.notEqual((await machine.tryRun('novactl version', signal)).code, 0);
    });

    test('installed again it goes on where it was', async ({ signal }) => {
      await novice.type(page.find('', 'A node'), { folder: NEWER }, signal);
      await expectSameVm(NEWER, signal);
      await machine.run('novactl vm delete first --force', signal);
      assert.doesNotMatch(await machine.run('virsh list --all', signal), /default_first/);
    });
  });
}

/** Puts our package into a folder of the machine by itself, and into one with the others. */
async function bring(
  version: string,
  machine: GuestMachine,
  folder: string,
  served: ServedFolder,
): Promise<void> {
  const { file } = await buildDebianPackage({ version, folder }, never);
  const name = path.basename(file);
  const fetch = `/usr/lib/apt/apt-helper download-file ${served.url}/${name} ${name}`;
  const link = `mkdir -p /root/${BOTH}; ln ${name} /root/${BOTH}/`;
  await machine.run(`mkdir /root/${version}; cd /root/${version}; ${fetch}; ${link}`, never);
}
