import { enableCompileCache } from 'node:module';
import { inProject } from '../core/project.ts';

/* Loaded before a test file: what is compiled of the project, types taken away, is kept for the next file that imports it. */

enableCompileCache(inProject('build/compile-cache'));
