import type { OperationParameters } from '../operations/operation.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import type { MediumChange, VmMedia } from './vm-media.ts';

type Media = Pick<VmMedia, 'plan' | 'change'>;

/** How what is asked of the drives of VMs is done, by kind of operation. */
export function mediaOperations(media: Media) {
  return {
    eject: mediumWork(media, 'eject', { done: 'EJECTED', already: 'ALREADY_EMPTY' }),
    insert: mediumWork(media, 'insert', { done: 'INSERTED', already: 'ALREADY_INSERTED' }),
  } satisfies Record<string, OperationWork>;
}

function mediumWork(
  media: Media,
  verb: 'eject' | 'insert',
  words: { readonly done: string; readonly already: string },
): OperationWork {
  return {
    firstStep: `${verb}ing`,
    async admit({ vm: ref, parameters }, signal): Promise<Admission> {
      const { vm, isDone } = await media.plan(ref, changeOf(parameters), signal);
      const { namespace, name, uid } = vm.definition;
      const admission = { vm: { namespace, name, uid }, deed: verb } as const;
      return isDone ? { ...admission, result: words.already } : admission;
    },
    async step({ vm, parameters }, signal): Promise<StepResult> {
      // It was to be done when it was asked for; an agent that was killed may have done it.
      await media.change(vm, changeOf(parameters), signal);
      return { isDone: true, result: words.done };
    },
  };
}

function changeOf(parameters: OperationParameters): MediumChange {
  const { volume, path, force } = parameters as {
    readonly volume: string;
    readonly path?: string;
    readonly force?: boolean;
  };
  return { volume, path, isForced: force === true };
}
