import { constants, type Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from '../../core/file-words.ts';

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;
const ROOT = 0;

/** What a look at a program comes to: the file that is to be run, or why it is not, after its path. */
export type ProgramLook = { readonly file: string } | { readonly problem: string };

/** A user that a hook may run as. */
export interface HookUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whether a program may be run as a hook: it lies in the folder, links followed, and nobody but root can change it or anything on
 * the way to it, so that whoever may write a manifest gets no more of the node than root has put there.
 */
export async function lookAtProgram(
  program: string,
  folder: string,
  user: HookUser,
): Promise<ProgramLook> {
  const home = await resolved(folder);
  if (home.file === undefined) {
    return {
      problem: `the folder of hooks, ${folder}, ${home.why}; root makes it: install -d -m 755 ${folder}`,
    };
  }
  const found = await resolved(program);
  if (found.file === undefined) {
    return { problem: `it ${found.why}; put it into ${folder} on this node, or correct the path` };
  }
  const { file } = found;
  if (!file.startsWith(`${home.file}/`)) {
    const leads = file === path.normalize(program) ? 'it is' : `it leads to ${file}, which is`;
    return {
      problem: `${leads} not in ${folder}, the folder of hooks (lifecycle.hookFolder of the node's configuration); put it there`,
    };
  }
  for (const place of wayTo(file)) {
    const facts = await stat(place).catch(() => undefined);
    if (facts === undefined) return { problem: `${place} cannot be looked at; try again` };
    const problem = place === file ? programProblem(file, facts, user) : wayProblem(place, facts);
    if (problem !== undefined) return { problem };
  }
  return { file };
}

async function resolved(
  place: string,
): Promise<{ readonly file: string } | { readonly file: undefined; readonly why: string }> {
  try {
    return { file: await realpath(place) };
  } catch (error) {
    const code = codeOf(error);
    return { file: undefined, why: WHY[code] ?? `cannot be looked at (${code})` };
  }
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'leads through a file that is no folder',
  ELOOP: 'is a link that leads in a circle',
  ENAMETOOLONG: 'has too long a name',
};

/** From the root folder to the file itself. */
function wayTo(file: string): readonly string[] {
  const parent = path.dirname(file);
  return parent === file ? [file] : [...wayTo(parent), file];
}

/** In a folder with the sticky bit, such as /tmp, others cannot take away or replace what is root's. */
function wayProblem(folder: string, { uid, mode }: Stats): string | undefined {
  const isOpen = (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0;
  return changeable('the folder', folder, uid, isOpen);
}

function programProblem(
  file: string,
  { uid, gid, mode, ...facts }: Stats,
  user: HookUser,
): string | undefined {
  if (!isFile(mode)) return 'it is no file; name a program';
  const others = changeable('the program', file, uid, (mode & OTHERS_WRITE) !== 0);
  if (others !== undefined) return others;
  const mayRun = gid === user.gid ? constants.S_IXGRP : constants.S_IXOTH;
  if ((mode & mayRun) !== 0 && facts.size > 0) return undefined;
  if (facts.size === 0) return 'it is empty; put a program there';
  return `user ${user.name}, as whom hooks run, may not execute it; chmod 755 ${file}`;
}

function isFile(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFREG;
}

function changeable(what: string, place: string, uid: number, isOpen: boolean): string | undefined {
  if (uid !== ROOT) {
    return `${what} ${place} belongs to user ${uid}, who could change what is run; chown root ${place}`;
  }
  return isOpen
    ? `${what} ${place} can be written by others than root, who could change what is run; chmod go-w ${place}`
    : undefined;
}
