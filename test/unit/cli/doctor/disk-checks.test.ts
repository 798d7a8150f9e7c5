import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAgentSettings } from '../../../../src/cli/doctor/agent-settings.ts';
import {
  checkImages,
  checkKeptDisks,
  type DiskQuestions,
} from '../../../../src/cli/doctor/disk-checks.ts';
import type { FoundFile } from '../../../../src/cli/doctor/host.ts';
import { Image, VirtualMachine } from '../../../../src/client/api.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { fakeHost } from './fake-host.ts';

const never = new AbortController().signal;
const FOLDER = '/srv/disks';
const { settings } = parseAgentSettings(`nodeName: a\nimages: {diskFolder: ${FOLDER}}\n`);
const NOW_MS = 1_700_000_000_000;
const DAY_MS = 24 * 60 * 60_000;
const OURS = '11111111-1111-4111-8111-111111111111';
const VIRSHS = '22222222-2222-4222-8222-222222222222';
const GONE = '33333333-3333-4333-8333-333333333333';

interface Given {
  readonly files?: Readonly<Record<string, readonly string[]>>;
  readonly isAgentAway?: boolean;
  readonly isVirshAway?: boolean;
  readonly isShared?: boolean;
  /** Paths that the VM of the agent has. */
  readonly has?: readonly string[];
  readonly ageMs?: number;
}

const image = (digest: string, usedBy: string[]) =>
  Image.fromPartial({ digest, usedBy, diskBytes: 2n ** 30n });

function questionsWith(given: Given): DiskQuestions {
  const { files = {}, isAgentAway, isVirshAway, isShared, has = [], ageMs = 3 * DAY_MS } = given;
  const away = new AgentError('AGENT_UNREACHABLE', 'It does not answer');
  const answer = <T>(what: T) =>
    isAgentAway === true ? Promise.reject(away) : Promise.resolve(what);
  const found = (name: string): FoundFile => ({
    name,
    diskBytes: 2 ** 30,
    modifiedMs: NOW_MS - ageMs,
  });
  const volumes = has.map((path) => ({ name: 'a', path }));
  const vm = VirtualMachine.fromPartial({ metadata: { uid: OURS }, status: { volumes } });
  return {
    host: fakeHost({
      listFiles: async (folder) => files[folder]?.map(found),
      isLocal: async () => isShared !== true,
      run: async (_program, words) =>
        isVirshAway === true
          ? undefined
          : { code: 0, stdout: words.includes('domstats') ? '' : `${VIRSHS}\n\n` },
    }),
    settings,
    listVms: () => answer([vm]),
    listImages: () => answer([image('a', ['/a']), image('b', [])]),
    nowMs: NOW_MS,
  };
}

const judge = (given: Given) => checkKeptDisks(questionsWith(given), never);

test('disks that no VM has are named, with what they take, their age, whose they were, and what to do', async () => {
  const names = [`${OURS}-root.qcow2`, `${VIRSHS}-root.raw`, `${GONE}-root.qcow2`, 'debian.iso'];
  const { level, detail, fix = '' } = await judge({ files: { [FOLDER]: names } });
  assert.equal(level, 'warning');
  assert.equal(
    detail,
    `Disks that no VM has: ${FOLDER}/${GONE}-root.qcow2 (1Gi, written 3d ago, of VM ${GONE})`,
  );
  assert.match(
    fix,
    /somebody's data: name one that is not encrypted as source\.file\.path .* with its uid .*; rm removes/,
  );
});

test('a disk that another VM names is used, and where each is that of a VM all is well', async () => {
  const file = `${GONE}-data.qcow2`;
  const files = { [FOLDER]: [file, `${OURS}-root.qcow2`] };
  assert.equal((await judge({ files, has: [`${FOLDER}/${file}`] })).level, 'ok');
  assert.equal((await judge({})).level, 'ok');
});

test('many are counted, the largest named', async () => {
  const names = Array.from({ length: 7 }, (_, index) => `${GONE}-disk${index}.raw`);
  const { detail } = await judge({ files: { [FOLDER]: names } });
  assert.match(detail, /disk4\.raw .* and 2 more, 7Gi in all$/);
});

test('half-made disks are named once nobody works on them any more', async () => {
  const names = [`${OURS}-root.raw.new`, `${GONE}-root.raw.copied`];
  const files = { [FOLDER]: names };
  const { level, detail, fix } = await judge({ files });
  assert.equal(level, 'warning');
  assert.match(
    detail,
    /^What is left of disks half-made: .*root\.raw\.new .*\.copied .*, 2Gi in all/,
  );
  assert.match(fix ?? '', /the agent removes when it starts; or rm/);
  assert.equal((await judge({ files, ageMs: 60_000 })).level, 'ok');
});

test('one of the agent and virsh is enough to say whose they are; without both, and on storage of others, nobody can', async () => {
  const files = { [FOLDER]: [`${OURS}-root.raw`, `${VIRSHS}-root.raw`] };
  const byVirsh = await judge({ files, isAgentAway: true });
  assert.match(byVirsh.detail, new RegExp(`^Disks that no VM has: .*${OURS}`));
  const byAgent = await judge({ files, isVirshAway: true });
  assert.match(byAgent.detail, new RegExp(`^Disks that no VM has: .*${VIRSHS}`));
  assert.equal((await judge({ files, isAgentAway: true, isVirshAway: true })).level, 'skipped');
  const shared = await judge({ files, isShared: true });
  assert.deepEqual([shared.level, /Other nodes may have/.test(shared.detail)], ['skipped', true]);
});

test('what images take that no disk stands on is said, and what parts of downloads do', async () => {
  const base = `${FOLDER}/base`;
  const files = { [base]: ['a', 'b'], [`${base}/incoming`]: ['c.part'] };
  const { level, detail } = await checkImages(questionsWith({ files }));
  assert.equal(level, 'ok');
  assert.match(
    detail,
    /take 2Gi, parts of downloads 1Gi; 1 that no disk stands on take 1Gi: .* within 64Gi \(images\.cacheBytes\)/,
  );
  const alone = await checkImages(questionsWith({ files, isAgentAway: true }));
  assert.match(alone.detail, /within 64Gi .*, once it answers/);
  assert.match((await checkImages(questionsWith({}))).detail, /no images/);
});
