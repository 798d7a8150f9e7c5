import { type CliOutput, outputProblem } from '../../src/cli/process/cli-io.ts';
import { processOutput } from '../../src/cli/process/process-io.ts';

/**
 * Makes all that the lab says, by `console` too, be written at once and as a whole, or be left out: what has been begun goes
 * on if nobody reads it. Gives why something could not be written, if it should have been.
 */
export function guardOutput(): () => string | undefined {
  const outputs = [process.stdout, process.stderr].map((stream) => {
    const output = processOutput(stream);
    stream.write = (data: string | Uint8Array) => {
      output.write(data);
      return true;
    };
    return output;
  });
  return () => outputs.map(outputProblem).find((problem) => problem !== undefined);
}

/** Standard output, for what is drawn again and again. */
export function standardOutput(): CliOutput {
  const { stdout } = process;
  return {
    isTTY: stdout.isTTY ?? false,
    columns: stdout.columns ?? 80,
    fault: undefined,
    write: (data) => void stdout.write(data),
  };
}
