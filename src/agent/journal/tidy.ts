import { hasReason } from '../../core/errors.ts';

/** Does what makes the journal smaller, or leaves that to the next start where nothing can be written now. */
export async function tidy(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!hasReason(error, 'STORAGE_FULL', 'JOURNAL_FAILURE')) throw error;
  }
}
