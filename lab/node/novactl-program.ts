import { inProject } from '../core/project.ts';

/**
 * With room for all young objects that it ever makes V8 collects none of them: a tenth of the time that `vm list` takes. The first line of
 * src/cli/main.ts has it too.
 */
export const NOVACTL_FLAGS = ['--min-semi-space-size=16'];

/** How novactl is started where it is built, as its package does. */
export const BUILT_NOVACTL = [process.execPath, ...NOVACTL_FLAGS, inProject('dist/cli/main.js')];
