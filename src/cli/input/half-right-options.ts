import type { Command, Option } from 'commander';

/** Each time that these are given adds to them. */
const REPEATABLE: readonly string[] = ['filename', 'label', 'secret', 'trust-shared'];

/**
 * Makes a command and those below it refuse an option that is given twice with different values, and an empty value, as of a
 * shell's variable that is not set: what is meant by them is anybody's guess.
 */
export function refuseHalfRightOptions(command: Command): void {
  for (const option of command.options) {
    if (option.required) watchOption(command, option);
  }
  for (const child of command.commands) refuseHalfRightOptions(child);
}

function watchOption(command: Command, option: Option): void {
  const repeats = REPEATABLE.includes(option.name()) || Array.isArray(option.defaultValue);
  let given: string | undefined;
  command.on(`option:${option.name()}`, (value: string) => {
    if (value === '') command.error(`error: option '${option.flags}' needs a value; it is empty`);
    if (given !== undefined && given !== value && !repeats) {
      command.error(`error: option '${option.flags}' is given twice: ${given} and ${value}`);
    }
    given = value;
  });
}
