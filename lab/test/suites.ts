/** Test files of some folders of test/, run a few at a time. */
export interface FilesPart {
  readonly folders: readonly string[];
  readonly concurrency: number;
  readonly fileLimitMinutes: number;
}

/** A program that tests, with its arguments; its last line counts: `N passed, N failed`. */
export interface ProgramPart {
  readonly program: readonly string[];
  readonly limitMinutes: number;
}

export interface Suite {
  readonly name: string;
  /** What it tests, for people. */
  readonly about: string;
  /** How long all of it may take on two cores, once built, before `./dev test` complains. */
  readonly limitMinutes: number;
  readonly parts: readonly (FilesPart | ProgramPart)[];
}

const STREAMER_TESTS = 'native/streamer/run-tests.sh';

/** What `./dev test` runs after the checks. It must stay quick enough to be run before every commit. */
export const FAST: Suite = {
  name: 'fast',
  about: 'unit, contract, integration, e2e, and the streamer as it is released',
  limitMinutes: 12,
  parts: [
    { program: [STREAMER_TESTS, 'release'], limitMinutes: 5 },
    { folders: ['unit', 'contract'], concurrency: 2, fileLimitMinutes: 2 },
    // One alone leaves one of two CPUs idle.
    { folders: ['integration'], concurrency: 2, fileLimitMinutes: 5 },
    // Two nodes and their guests have enough to do.
    { folders: ['e2e'], concurrency: 1, fileLimitMinutes: 5 },
  ],
};

/** What only who names it runs: too long for what it finds. */
export const RARE_SUITES: readonly Suite[] = [
  {
    name: 'releases',
    about: 'as guests, on the releases of Debian that this machine does not have',
    limitMinutes: 45,
    parts: [{ folders: ['releases'], concurrency: 1, fileLimitMinutes: 45 }],
  },
];

/** What `./dev test all` runs beyond the fast suite: whatever takes long. */
export const NAMED_SUITES: readonly Suite[] = [
  {
    name: 'drivers',
    about: 'what the drivers do to a real libvirt, its QEMU and images, and what serves these',
    limitMinutes: 10,
    parts: [{ folders: ['drivers', 'storage'], concurrency: 2, fileLimitMinutes: 5 }],
  },
  {
    name: 'vms',
    about: 'what VMs can have and be asked, beyond the main job, on real nodes',
    limitMinutes: 18,
    parts: [{ folders: ['vms'], concurrency: 1, fileLimitMinutes: 8 }],
  },
  {
    name: 'faults',
    about: 'what is killed, cut, starved and asked too much, on real nodes',
    limitMinutes: 25,
    parts: [{ folders: ['faults'], concurrency: 1, fileLimitMinutes: 5 }],
  },
  {
    name: 'hosts',
    about:
      'hosts as people have them: other daemons, users and addresses, newer agents, what was done by hand',
    limitMinutes: 10,
    parts: [{ folders: ['hosts'], concurrency: 1, fileLimitMinutes: 5 }],
  },
  {
    name: 'clients',
    about: 'clients that are not ours, built for it',
    limitMinutes: 10,
    parts: [{ folders: ['clients'], concurrency: 1, fileLimitMinutes: 10 }],
  },
  {
    name: 'guests',
    about: 'a whole Debian as a machine of its own, and what is done in it',
    limitMinutes: 20,
    // Each guest keeps one CPU busy.
    parts: [{ folders: ['guests'], concurrency: 2, fileLimitMinutes: 20 }],
  },
  {
    name: 'streamer',
    about: 'the streamer under sanitizers and fuzzers',
    limitMinutes: 30,
    parts: [{ program: [STREAMER_TESTS, 'asan', 'tsan', 'fuzz'], limitMinutes: 30 }],
  },
];
