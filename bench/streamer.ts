import { buildStreamer } from '../lab/builds/build-outputs.ts';
import { inProject } from '../lab/core/project.ts';
import { run, runAttached } from '../lab/core/run-command.ts';
import { interruption } from './measure/interruption.ts';

/* The data plane alone, beside a plain copy and a plain TLS relay. Words are passed on: MiB, then runs. */

const signal = interruption();
const build = inProject('build/streamer');
await buildStreamer(signal);
await run(['cmake', '--build', build, '--target', 'streamer-bench'], {}, signal);
const program = `${build}/bench/streamer-bench`;
process.exitCode = await runAttached([program, ...process.argv.slice(2)], {}, signal);
